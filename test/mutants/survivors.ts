import type { Survivors } from './mutant.ts';

/** What no unit test can notice, and why; docs/testing.md has the same list. */
export const survivors: Survivors = {
  'subject-not-compared': "an assertion's client is read from its sub, so the comparison holds by itself",
  'decoys-are-keys': "only the time tells an unknown client from a wrong signature, and tests don't measure time",
  'jti-missing': 'a jti that is not there is refused as one that is not text, too',
  'alg-unchecked': "jose refuses a key of another type than the algorithm's, too",
  'early-for-all': 'an early reading compares the digest of the grant, so it never gives the token of another one',
  'revoked-again': 'a revoked token is refused as one that ends at once, too, in other words',
  'role-changed-while-waiting': 'a write to a role drops its tokens, and what is issued anew is looked at again in issuance.ts',
  'role-invalidation': 'each cached token that goes is told by itself, and the grant of another role has another key',
};
