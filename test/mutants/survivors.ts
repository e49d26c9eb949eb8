import type { Survivors } from './mutant.ts';

/** What no unit test can notice, and why; docs/testing.md has the same list. */
export const survivors: Survivors = {};
