const name = 'auth0';

/** The token source Auth0. */
export const auth0 = {
  name,
  /** Loaded only where it is used: Auth0's Management client is large. */
  checks: async () => ({ name, ...(await import('./doctor.ts')).auth0Checks }),
};
