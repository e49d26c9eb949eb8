import { EPOCH } from './timeline.ts';
import type { Timeline } from './timeline.ts';

/** What Vault answers: an HTTP status and a body. */
export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

interface Document {
  version: number;
  /** Its deletion was broken off: Vault has its number, and doesn't find what it names. */
  readonly half?: true;
  /** ms of the timeline. */
  writtenAt: number;
  readonly createdTime: string;
  data: Record<string, unknown> | undefined;
  /** The same as text: nobody shares an object with Vault. */
  readonly text: string;
}

export interface Role {
  readonly roleId: string;
  /** secret_id -> its metadata. */
  readonly secrets: Map<string, Record<string, string>>;
}

interface VaultTokenFacts {
  /** Undefined: the brokers'. */
  readonly tenant: string | undefined;
  readonly root?: true;
  ends: number;
}

/** A write that Vault has carried out. */
export interface Commit {
  /** With its mount. */
  readonly path: string;
  readonly before: Record<string, unknown> | undefined;
  readonly beforeAt: number;
  readonly data: Record<string, unknown> | undefined;
  /** Who wrote: a replica's process, or `operator`. */
  readonly by: string;
  /** It was deleted, and that was broken off. */
  readonly half?: true;
}

export interface VaultSettings {
  /** Seconds that a tenant's login lasts, and a broker's. */
  readonly tenantTtl: number;
  readonly brokerTtl: number;
}

const BROKER = { roleId: 'broker-role', secretId: 'broker-secret' };
const ROOT = 'root-token-of-the-operators';

/**
 * Vault as brokers and operators meet it: KV v2 with check-and-set, AppRole with batch tokens, and the policies by which a tenant reads its
 * own and a broker can't read a tenant's. One that is committed is there for all: Raft's own promise isn't tried here.
 */
export class SimulatedVault {
  readonly #timeline: Timeline;
  readonly #settings: VaultSettings;
  readonly #documents = new Map<string, Document>();
  readonly #tokens = new Map<string, VaultTokenFacts>([[ROOT, { tenant: undefined, root: true, ends: Infinity }]]);
  readonly roles = new Map<string, Role>();
  onCommit: (commit: Commit) => void = () => {};
  #serial = 0;

  constructor(timeline: Timeline, settings: VaultSettings) {
    this.#timeline = timeline;
    this.#settings = settings;
  }

  static readonly broker = BROKER;
  static readonly root = ROOT;

  /** By its own clock, ms since 1970. */
  get now(): number {
    return EPOCH + this.#timeline.now;
  }

  /** What lies there now, past all policies. */
  peek(path: string): Record<string, unknown> | undefined {
    return this.#documents.get(path)?.data;
  }

  /** All that lies below a path now. */
  *all(prefix: string): Iterable<[path: string, data: Record<string, unknown>]> {
    for (const [path, { data }] of this.#documents) if (data !== undefined && path.startsWith(prefix)) yield [path, data];
  }

  /** Ends every token that brokers have logged in with. */
  revokeBrokers(): void {
    for (const [token, { tenant, root }] of this.#tokens) if (tenant === undefined && root !== true) this.#tokens.delete(token);
  }

  /**
   * @param by who asks, for {@link onCommit} alone: what they may do goes by their token
   * @param gone whoever asked has hung up, so that a deletion stops halfway
   */
  handle(method: string, path: string, json: Record<string, unknown>, token: string | undefined, by: string, gone = false): Answer {
    const login = /^auth\/([^/]+)\/login$/.exec(path);
    if (login !== null) return this.#login(login[1]!, json);
    const facts = token === undefined ? undefined : this.#tokens.get(token);
    if (facts === undefined || facts.ends <= this.#timeline.now) return refused(403, 'permission denied');
    const self = /^auth\/token\/(renew|lookup|revoke)-self$/.exec(path);
    if (self !== null) return this.#self(self[1]!, token!, facts);
    const place = /^([a-z-]+)\/(data|metadata)\/(.+)$/.exec(path);
    if (place === null) return refused(404, `no handler for route "${path}"`);
    const [, mount, kind, name] = place as unknown as [string, string, string, string];
    if (!may(facts, method, mount, name)) return refused(403, 'permission denied');
    const full = `${mount}/${name}`;
    if (method === 'GET') return kind === 'data' ? this.#read(full) : refused(405, 'unsupported operation');
    if (method === 'LIST') return this.#list(full);
    if (method === 'DELETE') return this.#remove(full, by, gone);
    return this.#write(full, json, by);
  }

  #login(mount: string, { role_id: roleId, secret_id: secretId }: Record<string, unknown>): Answer {
    if (mount === 'approle-broker') {
      if (roleId !== BROKER.roleId || secretId !== BROKER.secretId) return refused(400, 'invalid role or secret ID');
      return this.#granted(undefined, this.#settings.brokerTtl, 'service', {});
    }
    for (const [tenant, role] of this.roles) {
      if (role.roleId !== roleId) continue;
      const metadata = role.secrets.get(String(secretId));
      if (metadata === undefined) break;
      return this.#granted(tenant, this.#settings.tenantTtl, 'batch', { ...metadata, role_name: tenant });
    }
    return refused(400, 'invalid role or secret ID');
  }

  #granted(tenant: string | undefined, ttl: number, type: string, metadata: Record<string, string>): Answer {
    const token = `hvs.${++this.#serial}.${tenant ?? 'broker'}`;
    this.#tokens.set(token, { tenant, ends: this.#timeline.now + ttl * 1000 });
    return ok({ auth: { client_token: token, lease_duration: ttl, renewable: type === 'service', token_type: type, metadata } });
  }

  #self(what: string, token: string, facts: VaultTokenFacts): Answer {
    if (what === 'revoke') {
      this.#tokens.delete(token);
      return { status: 204, body: undefined };
    }
    if (what === 'renew') facts.ends = this.#timeline.now + this.#settings.brokerTtl * 1000;
    const left = Math.floor((facts.ends - this.#timeline.now) / 1000);
    return ok(
      what === 'renew'
        ? { auth: { client_token: token, lease_duration: left, renewable: true } }
        : { data: { ttl: left, renewable: true } },
    );
  }

  #read(path: string): Answer {
    const found = this.#documents.get(path);
    if (found === undefined) return { status: 404, body: { errors: [] } };
    if (found.half) return refused(500, 'could not find version data');
    const metadata = { version: found.version, created_time: found.createdTime };
    return ok({ data: { data: JSON.parse(found.text) as object, metadata } });
  }

  #list(folder: string): Answer {
    const prefix = `${folder}/`;
    const keys = new Set<string>();
    for (const path of this.#documents.keys()) {
      if (!path.startsWith(prefix)) continue;
      const rest = path.slice(prefix.length);
      const slash = rest.indexOf('/');
      keys.add(slash < 0 ? rest : rest.slice(0, slash + 1));
    }
    return keys.size === 0 ? { status: 404, body: { errors: [] } } : ok({ data: { keys: [...keys].sort() } });
  }

  #write(path: string, json: Record<string, unknown>, by: string): Answer {
    const found = this.#documents.get(path);
    const { cas } = (json['options'] ?? {}) as { cas?: number };
    if (cas !== undefined && cas !== (found?.version ?? 0))
      return refused(400, 'check-and-set parameter did not match the current version');
    const text = JSON.stringify(json['data']);
    const data = JSON.parse(text) as Record<string, unknown>;
    this.onCommit({ path, before: found?.data, beforeAt: found?.writtenAt ?? -Infinity, data, by });
    const version = (found?.version ?? 0) + 1;
    const createdTime = new Date(this.now).toISOString();
    this.#documents.set(path, { version, createdTime, writtenAt: this.#timeline.now, data, text });
    return ok({ data: { version } });
  }

  #remove(path: string, by: string, gone: boolean): Answer {
    const found = this.#documents.get(path);
    if (found !== undefined) {
      this.onCommit({ path, before: found.data, beforeAt: found.writtenAt, data: undefined, by, ...(gone ? { half: gone } : {}) });
      if (gone) this.#documents.set(path, { ...found, half: gone, data: undefined });
      else this.#documents.delete(path);
    }
    return { status: 204, body: undefined };
  }
}

/** `vault-policies/`, as far as it matters here. */
function may({ tenant, root }: VaultTokenFacts, method: string, mount: string, name: string): boolean {
  if (root === true) return true;
  if (tenant !== undefined) {
    if (method !== 'GET') return false;
    return mount === 'postern' ? name === `tenants/${tenant}` || name === `keys/${tenant}` : name.startsWith(`${tenant}/`);
  }
  if (mount === 'postern-tokens') return method === 'POST';
  if (method === 'GET' || method === 'LIST') return /^(state|apis|upstream)(\/|$)/.test(name);
  return method === 'POST' && name.startsWith('state/revocations');
}

function ok(body: object): Answer {
  return { status: 200, body: { request_id: 'of-the-simulation', ...body } };
}

function refused(status: number, text: string): Answer {
  return { status, body: { errors: [text] } };
}
