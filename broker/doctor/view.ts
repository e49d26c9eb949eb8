import { tenantDocument } from '#broker/authorization/documents.ts';
import type { TenantGrants } from '#broker/authorization/documents.ts';
import type { KeySource } from '#broker/credential/trust.ts';
import { PosternError } from '#broker/error.ts';
import type { Mounts } from '#broker/mounts.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { readApis } from '#broker/operator/apis.ts';
import { listTenants } from '#broker/operator/tenant/list.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import { WIDTH } from '#broker/operator/secret/secret-id.ts';
import type { VaultHealth } from '#broker/vault/client.ts';
import { said } from './check.ts';

export type Json = Readonly<Record<string, unknown>>;

/** An entry of `sys/auth` or `sys/mounts`. */
export interface Mounted {
  readonly type: string;
  readonly accessor: string;
  readonly options: Json;
  readonly config: Json;
}

/** By path, without its slash. */
export type MountTable = ReadonlyMap<string, Mounted>;

/** What the checks see of Vault, with the operator's token. What several of them need is read once. */
export interface View {
  readonly access: VaultAccess;
  readonly mounts: Mounts;
  /** What `sys/health` says: which product, which version. @throws {PosternError} */
  readonly health: () => Promise<VaultHealth>;
  /** Names of the token sources that this version has. */
  readonly sources: readonly string[];
  /**
   * @param doing completes "Vault refuses to …"
   * @returns the data; undefined where there is nothing
   * @throws {PosternError} with the remedy in its detail
   */
  readonly read: (doing: string, path: string) => Promise<Json | undefined>;
  /** undefined: the token may not list them. @throws {PosternError} */
  readonly auth: () => Promise<MountTable | undefined>;
  readonly engines: () => Promise<MountTable | undefined>;
  /** @throws {PosternError} */
  readonly apis: () => ReturnType<typeof readApis>;
  /** @throws {PosternError} */
  readonly tenants: () => ReturnType<typeof listTenants>;
  /** What tenants may have, by name; those whose document isn't valid are left out. @throws {PosternError} */
  readonly documents: () => Promise<ReadonlyMap<string, TenantGrants>>;
  readonly issuerKeys: IssuerLook;
}

/** The port to the keys of trusted issuers, as this machine sees them. */
export interface IssuerLook {
  /** How many could verify a token. @throws {PosternError} temporarily_unavailable */
  count(source: KeySource): Promise<number>;
}

export function viewOf(access: VaultAccess, sources: readonly string[], issuerKeys: IssuerLook): View {
  const read: View['read'] = async (doing, path) =>
    (await access.call(doing, ({ client, as }) => client.read(path, as)))?.data ?? undefined;
  const tenants = once(() => listTenants(access));
  return {
    access,
    mounts: access.mounts,
    health: once(() => access.call('tell its health', ({ client }) => client.health())),
    sources,
    issuerKeys,
    read,
    auth: once(() => mountTable(read, 'sys/auth')),
    engines: once(() => mountTable(read, 'sys/mounts')),
    apis: once(() => readApis(access)),
    tenants,
    documents: once(async () => {
      const found = await inParallel(await tenants(), WIDTH, async ({ tenant }) => {
        const { data } = await access.call(`read the tenant ${tenant}`, ({ documents, as }) => documents.read(`tenants/${tenant}`, as));
        const parsed = tenantDocument.safeParse(data);
        return parsed.success ? ([[tenant, parsed.data]] as const) : [];
      });
      return new Map(found.flat());
    }),
  };
}

/** A fault is remembered too: asked again, it would be the same. */
export function once<T>(work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => (result ??= work());
}

async function mountTable(read: View['read'], path: 'sys/auth' | 'sys/mounts'): Promise<MountTable | undefined> {
  const data = await read('list its mounts', path).catch((error: unknown) => {
    if (error instanceof PosternError && error.code === 'access_denied') return undefined;
    throw error;
  });
  if (data === undefined) return undefined;
  const entries = Object.entries(data).map(([name, value]): [string, Mounted] => {
    const { type, accessor, options, config } = (value ?? {}) as Json;
    return [
      name.replace(/\/$/, ''),
      { type: said(type), accessor: said(accessor, ''), options: (options ?? {}) as Json, config: (config ?? {}) as Json },
    ];
  });
  return new Map(entries);
}
