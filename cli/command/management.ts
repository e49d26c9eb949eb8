import type { Application } from '#broker/auth0/applications.ts';
import type { Directory } from '#broker/credential/directory.ts';
import { PosternError } from '#broker/error.ts';

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

export interface PeopleOptions {
  env: Readonly<Record<string, string | undefined>>;
  /** Of the Auth0 API that stands for self-service. Default: POSTERN_SELF_AUDIENCE of the environment. */
  audience: string | undefined;
  /** How often a request that Auth0 turned away is sent again, each time after as long as it says. */
  retries?: number;
  signal?: AbortSignal;
}

/**
 * People and what they may do, found to be of the right Auth0 tenant.
 * @throws {PosternError} invalid_request, misconfigured
 */
export async function openPeople({ env, audience = env['POSTERN_SELF_AUDIENCE'], retries, signal }: PeopleOptions): Promise<Directory> {
  if (!audience)
    throw new PosternError('invalid_request', 'Which Auth0 API stands for self-service is not known', {
      detail: 'Give its identifier by --audience, or set POSTERN_SELF_AUDIENCE as for the brokers.',
    });
  const [{ managementOf }, { Auth0People: People }] = await Promise.all([
    import('#broker/auth0/management.ts'),
    import('#broker/auth0/people.ts'),
  ]);
  const people = new People({ management: managementOf(env, retries === undefined ? {} : { retries }), audience, signal });
  await people.check();
  return people;
}

/**
 * The M2M applications of the Auth0 tenant that the environment names.
 * @throws {PosternError} invalid_request, access_denied, too_many_requests, temporarily_unavailable
 */
export async function openApplications(
  env: PeopleOptions['env'],
  { retries, signal }: { retries: number; signal: AbortSignal },
): Promise<Application[]> {
  const [{ managementOf }, { readApplications }] = await Promise.all([
    import('#broker/auth0/management.ts'),
    import('#broker/auth0/applications.ts'),
  ]);
  return readApplications(managementOf(env, { retries }), signal);
}

/** Whether the environment says how to ask Auth0 about people. */
export function knowsPeople(env: Readonly<Record<string, string | undefined>>): boolean {
  return Boolean(env['AUTH0_DOMAIN'] && (env['AUTH0_MGMT_TOKEN'] || env['AUTH0_API_TOKEN']));
}

/**
 * What is left of M2M applications that were migrated, and who asks: the application whose Management token this is.
 * @throws {PosternError} invalid_request
 */
export async function openRetirement(env: PeopleOptions['env'], { retries, signal }: { retries: number; signal: AbortSignal }) {
  const [{ managementOf }, { RetirableApplications }, { decodeJwt }] = await Promise.all([
    import('#broker/auth0/management.ts'),
    import('#broker/auth0/retirement.ts'),
    import('jose'),
  ]);
  const applications = new RetirableApplications(managementOf(env, { retries }), signal);
  let caller: unknown;
  try {
    const { azp, client_id: id } = decodeJwt(env['AUTH0_MGMT_TOKEN'] || env['AUTH0_API_TOKEN'] || '');
    caller = azp ?? id;
  } catch {
    // Auth0 will say what it thinks of it.
  }
  return { applications, caller: typeof caller === 'string' ? caller : undefined };
}

/** How an M2M application exchanges its own credential. */
export function ownExchange() {
  return import('#broker/auth0/own-credential.ts');
}
