import type { ManagementClient } from 'auth0';
import { PosternError } from '#broker/error.ts';
import { MARK } from './application.ts';
import { explainManagement } from './management.ts';

/** @see Retirable of the operator's room */
interface Application {
  clientId: string;
  name: string;
  type: string | undefined;
  grantTypes: readonly string[];
  hasCallbacks: boolean;
  isShared: boolean;
}

const FIELDS = 'client_id,name,app_type,grant_types,callbacks,client_metadata';
/** "Success Exchange: Client Credentials for Access Token". https://auth0.com/docs/deploy-monitor/logs/log-event-type-codes */
const GOT_TOKEN = 'seccft';

/** Applications that were migrated: what they still do, and their end. */
export class RetirableApplications {
  readonly #management: ManagementClient;
  readonly #request: { abortSignal?: AbortSignal };
  #oldest: { asked: number; date: string | undefined } | undefined;

  constructor(management: ManagementClient, signal?: AbortSignal) {
    this.#management = management;
    this.#request = signal === undefined ? {} : { abortSignal: signal };
  }

  /** Needs read:clients. @returns undefined where there is none */
  async find(clientId: string): Promise<Application | undefined> {
    try {
      const client = await explained(`read the application ${clientId}`, 'read:clients', () =>
        this.#management.clients.get(clientId, { fields: FIELDS, include_fields: true }, this.#request),
      );
      return {
        clientId,
        name: client.name ?? clientId,
        type: client.app_type,
        grantTypes: client.grant_types ?? [],
        hasCallbacks: (client.callbacks ?? []).length > 0,
        isShared: client.client_metadata?.[MARK.key] === MARK.value,
      };
    } catch (error) {
      if (error instanceof PosternError && error.code === 'not_found') return undefined;
      throw error;
    }
  }

  /** client_ids with the mark of the application that all tenants share. Needs read:clients. */
  shared(): Promise<string[]> {
    return explained('find the shared application', 'read:clients', async () => {
      const found: string[] = [];
      const page = { fields: 'client_id,client_metadata', include_fields: true, per_page: 100, include_totals: true };
      for await (const { client_id: id, client_metadata: metadata } of await this.#management.clients.list(page, this.#request))
        if (id !== undefined && metadata?.[MARK.key] === MARK.value) found.push(id);
      return found;
    });
  }

  /** Needs read:client_grants. */
  grants(clientId: string): Promise<{ audience: string; scopes: readonly string[] | 'all' }[]> {
    return explained(`list the client grants of ${clientId}`, 'read:client_grants', async () => {
      const found: { audience: string; scopes: readonly string[] | 'all' }[] = [];
      for await (const grant of await this.#management.clientGrants.list({ client_id: clientId, take: 100 }, this.#request)) {
        const { audience, scope = [], allow_all_scopes: all } = grant;
        if (audience !== undefined) found.push({ audience, scopes: all === true ? 'all' : scope });
      }
      return found;
    });
  }

  /** Needs update:clients. Without client_credentials every exchange is refused, and nothing else of the application is lost. */
  async setGrantTypes(clientId: string, grantTypes: readonly string[]): Promise<void> {
    await explained(`change the application ${clientId}`, 'update:clients', () =>
      this.#management.clients.update(clientId, { grant_types: [...grantTypes] }, this.#request),
    );
  }

  /** Needs delete:clients. One that is gone is no failure. */
  async remove(clientId: string): Promise<void> {
    try {
      await explained(`delete the application ${clientId}`, 'delete:clients', () =>
        this.#management.clients.delete(clientId, this.#request),
      );
    } catch (error) {
      if (!(error instanceof PosternError && error.code === 'not_found')) throw error;
    }
  }

  /**
   * What the tenant's log tells of an application now; ISO 8601. Needs read:logs.
   * https://auth0.com/docs/deploy-monitor/logs/log-search-query-syntax
   */
  async observe(clientId: string): Promise<{ at: string; since: string; used: string | null; tried: string | null }> {
    if (!/^[A-Za-z0-9._~-]{1,128}$/.test(clientId)) throw new PosternError('invalid_request', 'That is no client_id of Auth0');
    const at = new Date().toISOString();
    // How far the log reaches back is the same for all; it moves on while many are looked at.
    if (this.#oldest === undefined || Date.now() - this.#oldest.asked > 60_000)
      this.#oldest = { asked: Date.now(), date: (await this.#first('', 1))?.date };
    const since = this.#oldest.date ?? at;
    const last = await this.#first(`client_id:"${clientId}"`, -1);
    const got =
      last === undefined || last.type === GOT_TOKEN ? last : await this.#first(`client_id:"${clientId}" AND type:${GOT_TOKEN}`, -1);
    return { at, since, used: got?.date ?? null, tried: last?.date ?? null };
  }

  /** @param direction 1: the oldest, -1: the newest */
  #first(q: string, direction: 1 | -1): Promise<{ date: string; type: string | undefined } | undefined> {
    return explained("search the tenant's log", 'read:logs', async () => {
      const page = await this.#management.logs.list(
        { page: 0, per_page: 1, sort: `date:${direction}`, fields: 'date,type', include_fields: true, include_totals: true },
        // The package knows the parameter by an older name.
        { ...this.#request, ...(q === '' ? {} : { queryParams: { q } }) },
      );
      const [entry] = page.data;
      const date = entry === undefined ? undefined : instantOf(entry.date);
      return date === undefined ? undefined : { date, type: entry?.type };
    });
  }
}

/** Auth0 writes a string; its older form is an object. */
function instantOf(value: unknown): string | undefined {
  const text = typeof value === 'string' ? value : value instanceof Date ? value.toISOString() : undefined;
  const time = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(time) ? undefined : new Date(time).toISOString();
}

async function explained<T>(doing: string, scope: string, work: () => PromiseLike<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw explainManagement(error, doing, scope);
  }
}
