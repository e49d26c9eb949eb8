/** Nothing has ended, by a rotation or by an announcement. */
export const NO_ENDS = { rotations: { of: () => Promise.resolve(undefined) }, announced: { includes: () => false } };
