import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MANAGEMENT_SCOPES } from './auth0.ts';
import type { Auth0StandIn } from './auth0.ts';
import { MANAGEMENT_CLIENT, SELF_AUDIENCE, saasOf } from './scenario.ts';
import { noteSecret } from './secret.ts';

/** An application at Auth0. */
export interface Application {
  clientId: string;
  clientSecret: string;
}

/** Settings by which the broker lets a customer's people make keys, and hears when one of them goes. */
export interface LogStreamSettings {
  env: Record<string, string>;
  secret: string;
}

/** @param folder where the secret's file goes */
export async function logStreamSettings(folder: string): Promise<LogStreamSettings> {
  const secret = noteSecret('log stream secret', randomBytes(32).toString('hex'));
  const file = join(folder, 'log-stream-secret');
  await writeFile(file, secret, { mode: 0o600 });
  return { secret, env: { POSTERN_SELF_AUDIENCE: SELF_AUDIENCE, POSTERN_LOG_STREAM_SECRET_FILE: file } };
}

/**
 * What the company sets up at Auth0 for that: a log stream to the broker, and an application that may manage.
 * @returns the latter
 */
export function setUpOrganization({ account, issuer }: Auth0StandIn, brokerIssuer: string, { secret }: LogStreamSettings): Application {
  (account.logStreams ??= []).push({
    id: 'lst_postern',
    name: 'Postern',
    httpEndpoint: `${brokerIssuer}self/v1/auth0-logs`,
    httpAuthorization: `Bearer ${secret}`,
  });
  const clientSecret = newSecret();
  account.clients.push({ id: MANAGEMENT_CLIENT, name: 'Postern owners sync', secrets: [clientSecret], grantTypes: ['client_credentials'] });
  account.grants.push({ clientId: MANAGEMENT_CLIENT, audience: `${issuer}api/v2/`, scopes: [...MANAGEMENT_SCOPES] });
  return { clientId: MANAGEMENT_CLIENT, clientSecret };
}

/** The web application in which the customer's people are. @param origin where it is; nobody needs to answer there */
export function addSaas({ account }: Auth0StandIn, origin: string): Application & { callback: string } {
  const saas = saasOf(origin, newSecret());
  account.clients = [...account.clients.filter(({ id }) => id !== saas.id), saas];
  return { clientId: saas.id, clientSecret: saas.secrets[0]!, callback: saas.callbacks![0]! };
}

function newSecret(): string {
  return noteSecret('auth0 client_secret', randomBytes(32).toString('base64url'));
}
