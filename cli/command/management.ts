/*
 * What commands do by Auth0's Management API. Loaded only where it is used: Auth0's package is large.
 */

/** The shared application. */
export async function loadApplication() {
  const [{ managementOf }, application] = await Promise.all([
    import('#broker/auth0/management.ts'),
    import('#broker/auth0/application.ts'),
  ]);
  return { managementOf, ...application };
}

/** People and what they may do. */
export async function loadPeople() {
  const [{ managementOf }, { Auth0People: People }] = await Promise.all([
    import('#broker/auth0/management.ts'),
    import('#broker/auth0/people.ts'),
  ]);
  return { managementOf, People };
}
