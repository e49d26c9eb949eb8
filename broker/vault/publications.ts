import { z } from 'zod';
import type { GrantReader } from '#broker/authorization/authorization.ts';
import { tenantDocument } from '#broker/authorization/documents.ts';
import type { TenantGrants } from '#broker/authorization/documents.ts';
import { NAME } from '#broker/credential/identity.ts';
import type { Identity } from '#broker/credential/identity.ts';
import { documentFault } from '#broker/document-fault.ts';
import { PosternError } from '#broker/error.ts';
import { documentOf } from '#broker/token/document.ts';
import type { LeaseStore, Publication, PublicationStore, Published } from '#broker/token/publications.ts';
import type { Lease } from '#broker/token/store.ts';
import type { Token } from '#broker/token/token.ts';
import { lostRace } from '#broker/vault-fault.ts';
import type { CallOptions, VaultClient } from './client.ts';
import type { Kv, KvDocument } from './kv.ts';
import type { VaultSession } from './session.ts';
import { asUnavailable } from './unavailable.ts';

/** `publications/<tenant>`: the tenant's document with only the grants that are published. Operators and Terraform write it. */
export const publicationPath = (tenant: string): string => `publications/${tenant}`;
const rememberedPath = (tenant: string): string => `state/published/${tenant}`;
const LEASE_PATH = 'state/publisher';
/** A version that no document has: a write that names it is refused by check-and-set alone. */
const NO_VERSION = 2 ** 31 - 1;

const published = z.object({
  grant: z.string(),
  version: z.number(),
  sha256: z.string(),
  signed_by: z.string().default(''),
  issued_at: z.number(),
  expires_at: z.number(),
});
const rememberedDocument = z.object({ apis: z.record(z.string().regex(NAME), published) });
const leaseDocument = z.object({ holder: z.string(), until: z.number() });

export interface VaultPublicationsOptions {
  client: VaultClient;
  documents: Kv;
  tokens: Kv;
  session: VaultSession;
}

/** Publications, with the broker's own token: it reads no tenant's document and no token, only what operators wrote down for it. */
export class VaultPublications implements PublicationStore, LeaseStore, GrantReader {
  readonly #options: VaultPublicationsOptions;

  constructor(options: VaultPublicationsOptions) {
    this.#options = options;
  }

  async tenants(signal?: AbortSignal): Promise<readonly string[]> {
    // Once: a lost one has taken its 30 s, and who asks comes again.
    const once = { attempts: 1, ...(signal === undefined ? {} : { signal }) };
    const lists = await Promise.all(
      ['publications', 'state/published'].map((path) => this.#ask((as) => this.#options.documents.list(path, { ...as, ...once }))),
    );
    return [...new Set(lists.flat())].filter((name) => NAME.test(name));
  }

  async readGrants({ tenant, clientId }: Pick<Identity, 'tenant' | 'clientId'>): Promise<TenantGrants | undefined> {
    const found = await this.#grants(tenant);
    return found?.client_id === clientId ? found : undefined;
  }

  async #grants(tenant: string): Promise<TenantGrants | undefined> {
    const { data } = await this.#read(publicationPath(tenant));
    if (data === undefined) return undefined;
    const parsed = tenantDocument.safeParse(data);
    if (parsed.success) return parsed.data;
    throw new PosternError('misconfigured', `${publicationPath(tenant)} in Vault is not valid`, { detail: documentFault(parsed.error) });
  }

  async publication(tenant: string): Promise<Publication | undefined> {
    const found = await this.#grants(tenant);
    const clientId = found?.client_id;
    if (found === undefined || !clientId) return undefined;
    return { tenant, clientId, apis: found.grants.map(({ api }) => api), marked: found.publish };
  }

  async published(tenant: string): Promise<ReadonlyMap<string, Published>> {
    const { data } = await this.#read(rememberedPath(tenant));
    // What isn't valid is nothing that anybody could use: it is written anew.
    const { apis } = rememberedDocument.safeParse(data).data ?? { apis: {} };
    return new Map(
      Object.entries(apis).map(([api, { signed_by: signedBy, issued_at: issuedAt, expires_at: expiresAt, ...rest }]) => [
        api,
        { ...rest, signedBy, issuedAt, expiresAt },
      ]),
    );
  }

  async remember(tenant: string, all: ReadonlyMap<string, Published>): Promise<void> {
    if (all.size === 0) return this.#ask((as) => this.#options.documents.remove(rememberedPath(tenant), as));
    const apis = Object.fromEntries(
      [...all].map(([api, { signedBy, issuedAt, expiresAt, ...rest }]) => [
        api,
        { ...rest, signed_by: signedBy, issued_at: issuedAt, expires_at: expiresAt },
      ]),
    );
    // Whoever has the lease writes, and what it forgets is only issued once more: no check-and-set.
    await this.#ask((as) => this.#options.documents.write(rememberedPath(tenant), { apis }, undefined, as));
  }

  async version(tenant: string, api: string): Promise<number> {
    const { client, tokens } = this.#options;
    const answer = await this.#ask((as) => client.read(`${tokens.mount}/metadata/${tenant}/${api}`, as));
    const version = answer?.data?.['current_version'];
    return typeof version === 'number' ? version : 0;
  }

  /** By a write that Vault refuses for its version: where it would refuse for another reason, as policy or a quota, it says that one. */
  async check(tenant: string, api: string): Promise<void> {
    await this.#race((as) => this.#options.tokens.write(`${tenant}/${api}`, {}, NO_VERSION, as));
  }

  publish(
    { tenant, api, digest }: { tenant: string; api: string; digest: string },
    token: Token | undefined,
    version: number,
  ): Promise<number | undefined> {
    return this.#race((as) => this.#options.tokens.write(`${tenant}/${api}`, documentOf({ digest }, token, undefined), version, as));
  }

  async read(): Promise<{ lease: Lease | undefined; version: number }> {
    const { data, version } = await this.#read(LEASE_PATH);
    const lease = leaseDocument.safeParse(data).data;
    return { lease: lease === undefined ? undefined : { ...lease, paused: false }, version };
  }

  write({ holder, until }: Lease, version: number): Promise<number | undefined> {
    return this.#race((as) => this.#options.documents.write(LEASE_PATH, { holder, until }, version, as));
  }

  #read(path: string): Promise<KvDocument> {
    return this.#ask((as) => this.#options.documents.read(path, as));
  }

  #race(write: (as: CallOptions) => Promise<number>): Promise<number | undefined> {
    return this.#ask((as) =>
      write(as).catch((error: unknown) => {
        if (lostRace(error)) return undefined;
        throw error;
      }),
    );
  }

  async #ask<T>(work: (as: CallOptions) => Promise<T>): Promise<T> {
    try {
      return await this.#options.session.use((token) => work({ token }));
    } catch (error) {
      throw asUnavailable(error);
    }
  }
}
