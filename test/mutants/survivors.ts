import type { Survivors } from './mutant.ts';

/** What no unit test can notice, and why; docs/testing.md has the same list. */
export const survivors: Survivors = {
  'subject-not-compared': "an assertion's client is read from its sub, so the comparison holds by itself",
  'decoys-are-keys': "only the time tells an unknown client from a wrong signature, and tests don't measure time",
  'jti-missing': 'a jti that is not there is refused as one that is not text, too',
  'alg-unchecked': "jose refuses a key of another type than the algorithm's, too",
};
