import { PosternError } from '#broker/error.ts';
import { UPSTREAM_PATH } from '#broker/mounts.ts';
import type { VaultAccess } from './access.ts';

export interface UpstreamOptions {
  /** Of the one Auth0 application that all tenants share. */
  clientId: string;
  clientSecret: string;
  /** The secret before this one; brokers try it where Auth0 does not know the new one yet (up to 30 s after a rotation). */
  previousClientSecret?: string;
}

export interface UpstreamView {
  client_id: string;
  /** Of the document. */
  version: number;
  /**
   * What happened to the secret before: `given` with the call, `kept` from Vault, `none` there, or `not readable` with an
   * operator's token, which by design may set the credential and never read it.
   */
  previous: 'given' | 'kept' | 'none' | 'not readable';
}

/** Sets the shared credential. Its secret is returned by nothing here. @throws {PosternError} invalid_request, conflict */
export async function setUpstream(access: VaultAccess, options: UpstreamOptions): Promise<UpstreamView> {
  const { clientId, clientSecret, previousClientSecret } = options;
  const faults: string[] = [];
  if (!/^[A-Za-z0-9._~-]{1,128}$/.test(clientId)) faults.push('the client id is 1 to 128 letters, digits and . _ ~ -');
  if (!isSecret(clientSecret)) faults.push('the client secret is empty, too long or holds white space');
  if (previousClientSecret !== undefined && !isSecret(previousClientSecret))
    faults.push('the previous client secret is empty, too long or holds white space');
  if (previousClientSecret !== undefined && previousClientSecret === clientSecret) faults.push('the new client secret is the previous one');
  if (faults.length > 0)
    throw new PosternError('invalid_request', `The upstream credential can't be like this:\n${faults.map((f) => `  ${f}`).join('\n')}`);

  const before = await readBefore(access);
  const { previous, value } = previousOf(before, options);
  const version = await access.call('set the upstream credential', ({ documents, as }) =>
    documents.write(
      UPSTREAM_PATH,
      { client_id: clientId, client_secret: clientSecret, ...(value === undefined ? {} : { previous_client_secret: value }) },
      before.version,
      as,
    ),
  );
  return { client_id: clientId, version, previous };
}

export interface UpstreamMetadata {
  /** 0: never set. */
  version: number;
  /** ISO 8601. */
  updated_at: string | null;
}

/** Whether and when the credential was set; never a value. @throws {PosternError} */
export async function readUpstreamMetadata(access: VaultAccess): Promise<UpstreamMetadata> {
  const { kv } = access.mounts;
  const answer = await access.call('look whether the upstream credential is set', ({ client, as }) =>
    client.read(`${kv}/metadata/${UPSTREAM_PATH}`, as),
  );
  const { current_version: version, updated_time: time } = answer?.data ?? {};
  return { version: typeof version === 'number' ? version : 0, updated_at: typeof time === 'string' ? time : null };
}

interface Before {
  version: number;
  /** undefined: this token may not read it. */
  data: Record<string, unknown> | null | undefined;
}

async function readBefore(access: VaultAccess): Promise<Before> {
  try {
    const { data, version } = await access.call('read the upstream credential', ({ documents, as }) => documents.read(UPSTREAM_PATH, as));
    return { data: data ?? null, version };
  } catch (error) {
    if (!(error instanceof PosternError && error.code === 'access_denied')) throw error;
  }
  const { version } = await readUpstreamMetadata(access);
  return { data: version === 0 ? null : undefined, version };
}

function previousOf({ data }: Before, options: UpstreamOptions): { previous: UpstreamView['previous']; value: string | undefined } {
  if (options.previousClientSecret !== undefined) return { previous: 'given', value: options.previousClientSecret };
  if (data === undefined) return { previous: 'not readable', value: undefined };
  const sameClient = data?.['client_id'] === options.clientId;
  // The same secret once more: the one before it stays what it is.
  const old = data?.['client_secret'] === options.clientSecret ? data['previous_client_secret'] : data?.['client_secret'];
  return sameClient && typeof old === 'string' ? { previous: 'kept', value: old } : { previous: 'none', value: undefined };
}

function isSecret(text: string): boolean {
  return /^[\x21-\x7e]{1,512}$/.test(text);
}
