import { z } from 'zod';
import { SCOPE_TOKEN } from '#broker/authorization/documents.ts';
import { CLIENT_ID } from '#broker/credential/approle.ts';
import { NAME } from '#broker/credential/identity.ts';
import { trustFault, trustIndex } from '#broker/credential/trust.ts';
import type { Trust } from '#broker/credential/trust.ts';
import type { TrustReader } from '#broker/credential/trusts.ts';
import { documentFault } from '#broker/document-fault.ts';
import { PosternError } from '#broker/error.ts';
import type { Kv } from './kv.ts';
import type { VaultSession } from './session.ts';
import { asUnavailable } from './unavailable.ts';

/** Most trusts of one client that are read, and most of one issuer and audience where no client_id is sent. */
export const MOST_TRUSTS = 50;

/** `trusts/<client_id>/<name>`, as Terraform and operators write it. */
export const trustDocument = z.object({
  tenant: z.string().regex(NAME),
  issuer: z.string(),
  audience: z.string(),
  subject: z.string().nullish(),
  subject_pattern: z.string().nullish(),
  claims: z.record(z.string(), z.string()).nullish(),
  scopes: z.array(z.string().regex(SCOPE_TOKEN)).max(500).nullish(),
  /** Where it may be used from. Vault judges that. */
  cidrs: z.array(z.string()).max(100).nullish(),
  jwks_url: z.string().nullish(),
  keys: z.array(z.string().max(8192)).min(1).max(10).nullish(),
  ca_pem: z.string().max(65_536).nullish(),
  /** `terraform`: its next apply writes it anew. */
  managed_by: z.string().max(64).nullish(),
});

export type TrustDocument = z.infer<typeof trustDocument>;

/** @throws {PosternError} misconfigured */
export function trustOf(clientId: string, name: string, data: unknown): Trust {
  const parsed = trustDocument.safeParse(data);
  if (!parsed.success) throw notValid(clientId, name, documentFault(parsed.error));
  const { tenant, issuer, audience, claims, scopes, ...rest } = parsed.data;
  const trust = {
    issuer,
    audience,
    subject: rest.subject ?? undefined,
    subjectPattern: rest.subject_pattern ?? undefined,
    claims: claims ?? {},
    scopes: scopes ?? undefined,
    jwksUrl: rest.jwks_url ?? undefined,
    keys: rest.keys ?? undefined,
    caPem: rest.ca_pem ?? undefined,
  };
  const fault = trustFault(trust);
  if (fault !== undefined) throw notValid(clientId, name, fault);
  return { name, tenant, clientId, ...trust };
}

/** `<client_id>.<name>` below `trust-index/<digest of issuer and audience>`: who may be asked where no client_id is sent. */
export function indexEntry(clientId: string, name: string): string {
  return `${clientId}.${name}`;
}

/** Trusts are read with the broker's own token: they are public, and no tenant has logged in yet. */
export class VaultTrusts implements TrustReader {
  readonly #kv: Kv;
  readonly #session: VaultSession;

  constructor(kv: Kv, session: VaultSession) {
    this.#kv = kv;
    this.#session = session;
  }

  async trustsOf(clientId: string | undefined, issuer: string, audience: string): Promise<readonly Trust[]> {
    const entries =
      clientId === undefined
        ? (await this.#list(`trust-index/${trustIndex(issuer, audience)}`)).map(entryOf)
        : (await this.#list(`trusts/${clientId}`)).map((name) => ({ clientId, name }));
    // Whoever is left out might be the one: rather nobody.
    if (entries.length > MOST_TRUSTS) return [];
    const read = await Promise.all(
      entries.map(async (entry) => {
        if (entry === undefined || !CLIENT_ID.test(entry.clientId) || !NAME.test(entry.name)) return undefined;
        const data = await this.#read(`trusts/${entry.clientId}/${entry.name}`);
        if (data === undefined) return undefined;
        try {
          return trustOf(entry.clientId, entry.name, data);
        } catch (error) {
          return error;
        }
      }),
    );
    const found = read.filter((one): one is Trust => isTrust(one) && one.issuer === issuer && one.audience === audience);
    // One that is not valid trusts nobody, and keeps nobody else's from working.
    const fault = read.find((one) => one !== undefined && !isTrust(one));
    if (found.length === 0 && fault !== undefined) throw fault;
    return found;
  }

  #list(path: string): Promise<string[]> {
    return this.#session
      .use((token) => this.#kv.list(path, { token, quick: true }))
      .catch((error: unknown) => {
        throw asUnavailable(error);
      });
  }

  #read(path: string): Promise<Record<string, unknown> | undefined> {
    return this.#session
      .use((token) => this.#kv.read(path, { token }))
      .then(({ data }) => data)
      .catch((error: unknown) => {
        throw asUnavailable(error);
      });
  }
}

function isTrust(one: unknown): one is Trust {
  return typeof one === 'object' && one !== null && !(one instanceof Error);
}

function entryOf(text: string): { clientId: string; name: string } | undefined {
  // A client_id may hold dots, a trust's name none.
  const dot = text.lastIndexOf('.');
  return dot === -1 ? undefined : { clientId: text.slice(0, dot), name: text.slice(dot + 1) };
}

function notValid(clientId: string, name: string, problem: string): PosternError {
  return new PosternError('misconfigured', 'Client is not set up', {
    detail: `trusts/${clientId}/${name} in Vault is not valid: ${problem}`,
  });
}
