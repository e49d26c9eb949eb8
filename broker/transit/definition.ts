const name = 'transit';

/** The token source Vault transit: the broker is the issuer. */
export const transit = {
  name,
  checks: async () => ({ name, ...(await import('./doctor.ts')).transitChecks }),
};
