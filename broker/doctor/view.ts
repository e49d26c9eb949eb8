import type { TenantGrants } from '#broker/authorization/documents.ts';
import type { KeySource } from '#broker/credential/trust.ts';
import { PosternError } from '#broker/error.ts';
import type { Mounts } from '#broker/mounts.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { readApis } from '#broker/operator/apis.ts';
import type { Progress } from '#broker/operator/secret/secret-id.ts';
import { eachTenant, tenantIndex } from '#broker/operator/tenant/list.ts';
import type { Listed, ListOptions, TenantIndex } from '#broker/operator/tenant/list.ts';
import type { TenantView } from '#broker/operator/tenant/view.ts';
import type { VaultHealth } from '#broker/vault/client.ts';
import { said } from './check.ts';
import { sampleOf } from './sample.ts';
import type { Sample } from './sample.ts';

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
  /** Every one, by Vault's lists alone. @throws {PosternError} */
  readonly index: () => Promise<TenantIndex>;
  /** Which of them are looked at. @throws {PosternError} */
  readonly sample: () => Promise<Sample>;
  /** Those. @throws {PosternError} */
  readonly tenants: () => Promise<readonly TenantView[]>;
  /** What those may have, by name; where a document isn't valid it is left out. @throws {PosternError} */
  readonly documents: () => Promise<ReadonlyMap<string, TenantGrants>>;
  /** Says how far a longer look is. */
  readonly progress: (what: string) => Progress;
  readonly issuerKeys: IssuerLook;
}

/** The port to the keys of trusted issuers, as this machine sees them. */
export interface IssuerLook {
  /** How many could verify a token. @throws {PosternError} temporarily_unavailable */
  count(source: KeySource): Promise<number>;
}

export interface ViewOptions {
  /** @see View */
  readonly sources: readonly string[];
  readonly issuerKeys: IssuerLook;
  /** Most tenants that are looked at one by one. */
  readonly most: number;
  readonly progress?: ((what: string) => Progress) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export function viewOf(access: VaultAccess, options: ViewOptions): View {
  const { sources, issuerKeys, most, signal, progress = () => () => {} } = options;
  const read: View['read'] = async (doing, path) =>
    (await access.call(doing, ({ client, as }) => client.read(path, as)))?.data ?? undefined;
  // Three reads a tenant, for all the checks together.
  const index = once(() => tenantIndex(access));
  const sample = once(async () => sampleOf(await index(), most));
  const listed = once(async () =>
    allOf(access, (await sample()).index, { lastUse: false, onProgress: progress('tenants'), ...(signal === undefined ? {} : { signal }) }),
  );
  return {
    access,
    mounts: access.mounts,
    health: once(() => access.call('tell its health', ({ client }) => client.health())),
    sources,
    issuerKeys,
    progress,
    read,
    auth: once(() => mountTable(read, 'sys/auth')),
    engines: once(() => mountTable(read, 'sys/mounts')),
    apis: once(() => readApis(access)),
    index,
    sample,
    tenants: once(async () => (await listed()).map(({ view }) => view)),
    documents: once(
      async () =>
        new Map((await listed()).flatMap(({ view, document }) => (document === undefined ? [] : [[view.tenant, document] as const]))),
    ),
  };
}

async function allOf(access: VaultAccess, index: TenantIndex, options: ListOptions): Promise<Listed[]> {
  const all: Listed[] = [];
  for await (const one of eachTenant(access, index, options)) all.push(one);
  return all;
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
