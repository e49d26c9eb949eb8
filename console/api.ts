/** The admin API (docs/admin-api.md) as the console reads it. The server is the one that checks; these are the fields shown here. */

export interface Grant {
  api: string;
  scopes: string[];
}

export interface Tenant {
  tenant: string;
  state: 'active' | 'disabled' | 'incomplete';
  role_id: string | null;
  grants: Grant[];
  default_api: string | null;
  organization: string | null;
  cidrs: string[];
  /** ISO 8601, to the minute. */
  last_used_at: string | null;
  lives_on: { api: string; seconds: number }[];
  problems: string[];
}

export interface Key {
  key_id: string;
  name: string | null;
  environment: string | null;
  scopes: string[] | null;
  cidrs: string[];
  issued_by: string | null;
  /** The Auth0 user whose key it is; null: the tenant's own. */
  owner: string | null;
  issued_at: string | null;
  expires_at: string | null;
  last_used_at: string | null;
  state: 'active' | 'ending' | 'ended' | 'unconfirmed';
}

/** A workload of another issuer that is the tenant. */
export interface Trust {
  name: string;
  issuer: string;
  audience: string;
  subject: string | null;
  subject_pattern: string | null;
  scopes: string[] | null;
  managed_by: string | null;
  problem: string | null;
}

/** Told once, in the answer to the request that made it. */
export interface IssuedKey extends Pick<Key, 'key_id' | 'name' | 'expires_at'> {
  key: string;
  warnings: string[];
}

/** A change at the admin or the self-service API, as the audit has it. */
export interface Change {
  time: string;
  event: string;
  outcome: string;
  caller: string | null;
  tenant: string | null;
  key_id: string | null;
  error: string | null;
}

export interface Page<T> {
  items: T[];
  next: string | null;
}

/** The access token is there no more, or isn't taken any more. */
export class LoginEnded extends Error {
  constructor() {
    super('The login has ended');
  }
}

/** RFC 9457. */
export class Problem extends Error {
  readonly status: number;
  /** This occurrence, as the broker's log has it; undefined where no broker answered. */
  readonly instance: string | undefined;

  constructor(status: number, detail: string, instance?: string) {
    super(detail);
    this.status = status;
    this.instance = instance;
  }
}

const DEADLINE_MS = 30_000;
/** The most that the server gives: it reads all of a tenant's keys for each page of them. */
const PAGE = 100;

/** Calls the API with the access token of whoever is logged in. */
export class AdminApi {
  readonly #token: () => Promise<string>;

  /** @param token the access token; where it rejects, the login has ended */
  constructor(token: () => Promise<string>) {
    this.#token = token;
  }

  tenants(search: string, cursor?: string): Promise<Page<Tenant>> {
    return this.#page('/v1/tenants', 'tenants', { ...(search === '' ? {} : { search }), ...(cursor === undefined ? {} : { cursor }) });
  }

  tenant(tenant: string): Promise<Tenant> {
    return this.#call('GET', `/v1/tenants/${encodeURIComponent(tenant)}`);
  }

  /** Its credentials and grants stay; it is refused on every broker within 2 s. */
  disable(tenant: string): Promise<Tenant> {
    return this.#call('POST', `/v1/tenants/${encodeURIComponent(tenant)}/disable`);
  }

  enable(tenant: string): Promise<Tenant> {
    return this.#call('POST', `/v1/tenants/${encodeURIComponent(tenant)}/enable`);
  }

  keys(tenant: string, cursor?: string): Promise<Page<Key>> {
    return this.#page(`/v1/tenants/${encodeURIComponent(tenant)}/keys`, 'keys', cursor === undefined ? {} : { cursor });
  }

  trusts(tenant: string, cursor?: string): Promise<Page<Trust>> {
    return this.#page(`/v1/tenants/${encodeURIComponent(tenant)}/trusts`, 'trusts', cursor === undefined ? {} : { cursor });
  }

  /** @param attempt the Idempotency-Key: the same one again gives the same key again, when the answer was lost */
  issue(tenant: string, key: { name?: string; ttl?: number; scopes?: string[] }, attempt: string): Promise<IssuedKey> {
    return this.#call('POST', `/v1/tenants/${encodeURIComponent(tenant)}/keys`, key, attempt);
  }

  /** @param overlap seconds for which the old key goes on */
  rotate(tenant: string, keyId: string, overlap: number, attempt: string): Promise<IssuedKey & { replaces_until: string }> {
    return this.#call('POST', `/v1/tenants/${encodeURIComponent(tenant)}/keys/${keyId}/rotate`, { overlap }, attempt);
  }

  async revoke(tenant: string, keyId: string): Promise<void> {
    await this.#call('DELETE', `/v1/tenants/${encodeURIComponent(tenant)}/keys/${keyId}`);
  }

  changes(tenant?: string): Promise<{ changes: Change[]; since: string }> {
    return this.#call('GET', `/v1/changes${tenant === undefined ? '' : `?${new URLSearchParams({ tenant })}`}`);
  }

  async #page<T>(path: string, member: string, query: Record<string, string>): Promise<Page<T>> {
    const body = await this.#call<Record<string, unknown>>('GET', `${path}?${new URLSearchParams({ limit: String(PAGE), ...query })}`);
    return { items: body[member] as T[], next: body['next_cursor'] as string | null };
  }

  async #call<T>(method: string, path: string, body?: unknown, attempt?: string): Promise<T> {
    const token = await this.#token();
    const response = await fetch(path, {
      method,
      headers: {
        Authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...(attempt === undefined ? {} : { 'Idempotency-Key': attempt }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      cache: 'no-store',
      credentials: 'omit',
      redirect: 'error',
      signal: AbortSignal.timeout(DEADLINE_MS),
    }).catch(() => {
      throw new Problem(0, 'The broker did not answer. Nothing is known of whether it did what was asked; trying again is safe.');
    });
    if (response.status === 204) return undefined as T;
    const answer = (await response.json().catch(() => ({}))) as { detail?: string; instance?: string };
    if (response.ok) return answer as T;
    if (response.status === 401) throw new LoginEnded();
    throw new Problem(response.status, answer.detail ?? `The broker answered ${response.status}`, answer.instance);
  }
}
