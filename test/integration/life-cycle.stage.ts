import { generateKeyPairSync } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, fetch } from 'undici';
import { ApiKey } from '#broker/credential/api-key.ts';
import { VaultToken } from '#broker/credential/identity.ts';
import { VaultAccess } from '#broker/operator/access.ts';
import type { Announcer } from '#broker/operator/access.ts';
import { issueKey } from '#broker/operator/key/issue.ts';
import { addTrust } from '#broker/operator/trust/add.ts';
import { issueSecretId } from '#broker/operator/secret/issue.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { backEndToken, callAdmin } from '#test/fixture/admin.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, LocalReplica } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';
import { assertionOf } from './assertion.forgeries.ts';
import type { ClientSigner } from './assertion.forgeries.ts';
import { GITHUB, githubToken, issuerKey } from './trust.forgeries.ts';

/* The doors of the life cycle, on a real Vault with the plugin, three replicas and the admin API. */

const ISSUER = 'https://tokens.example.com/';
const ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const VAULT_TOKEN = 'urn:postern:params:oauth:token-type:vault-token';
const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';

/** One of source transit, which answers at once, and one of auth0, which can be made to hang; `kept` is published. */
const APIS = {
  reports: { audience: 'https://reports.example.com', source: 'transit' as const, scopes: ['read'] },
  orders: { audience: 'https://orders.example.com', source: 'auth0' as const, scopes: ['read'] },
  kept: { audience: 'https://kept.example.com', source: 'transit' as const, scopes: ['read'] },
  gone: { audience: 'https://gone.example.com', source: 'transit' as const, scopes: ['read'] },
  goneslow: { audience: 'https://goneslow.example.com', source: 'auth0' as const, scopes: ['read'] },
};
type ApiName = keyof typeof APIS;
/** Kept fresh in KV though nobody asks. */
const PUBLISHED = ['kept', 'gone'] as const;

/** A tenant to which something is about to happen, with all by which it gets tokens. */
export interface Subject {
  readonly tenant: string;
  /** By which it is known where the event is about one credential. */
  readonly credential: Credential;
  /** Of that credential or of another, as a key. */
  readonly key: string;
  readonly keyId: string;
  readonly signer: ClientSigner;
  /** A Vault login from before. */
  readonly vaultToken: string;
  /** What it holds. */
  readonly token: string;
  /** What lies in KV though nobody asked; empty where it is not published. */
  readonly published: string;
  readonly quick: ApiName;
  readonly slow: ApiName;
}

export class Stage {
  readonly house: House;
  readonly replicas: readonly LocalReplica[];
  readonly operator: VaultAccess;
  readonly #client: VaultClient;
  readonly #operatorToken: VaultToken;
  readonly #service: Credential;
  readonly #admin: { jwt: string };
  readonly #pairs: ReadonlyMap<string, ReturnType<typeof ecPair>>;
  readonly #agent = new Agent();

  private constructor(
    parts: Pick<Stage, 'house' | 'replicas' | 'operator'>,
    rest: {
      client: VaultClient;
      operatorToken: VaultToken;
      service: Credential;
      admin: { jwt: string };
      pairs: ReadonlyMap<string, ReturnType<typeof ecPair>>;
    },
  ) {
    ({ house: this.house, replicas: this.replicas, operator: this.operator } = parts);
    ({ client: this.#client, operatorToken: this.#operatorToken, service: this.#service, admin: this.#admin, pairs: this.#pairs } = rest);
  }

  static async start(tenants: readonly string[], count = 3): Promise<Stage> {
    const pairs = new Map(tenants.map((tenant) => [tenant, ecPair()]));
    const grants = (apis: readonly ApiName[]) => apis.map((api) => ({ api, scopes: ['read'] }));
    const house = await startHouse({
      apis: APIS,
      admin: true,
      plugin: true,
      variables: { issuer: ISSUER },
      tenants: {
        service: { introspects: Object.keys(APIS) },
        ...Object.fromEntries(
          [...pairs].map(([tenant, { publicKey }]) => [
            tenant,
            {
              grants: grants(Object.keys(APIS) as ApiName[]),
              publish: PUBLISHED,
              token_ttl: 300,
              organization: organizationOf(tenant),
              issuers: { [GITHUB]: { keys: [issuerKey.publicKey.export({ type: 'spki', format: 'pem' }).toString()] } },
              assertion_keys: [{ pem: publicKey.export({ type: 'spki', format: 'pem' }).toString() }],
            },
          ]),
        ),
      },
    });
    const client = new VaultClient({ address: house.vault.address, timeoutMs: 20_000 });
    const operatorToken = new VaultToken(await vaultToken(house, 'postern-operator'));
    const operator = new VaultAccess({ client, token: operatorToken });
    await Promise.all(tenants.map((tenant) => addTrust(operator, { tenant, name: 'ci', ...trustOf(tenant) })));
    await house.root.write('auth0/config', { issuer: house.auth0.issuer, ...house.m2m });
    for (const api of ['orders', 'goneslow'] as const)
      await house.root.write(`auth0/apis/${api}`, { audience: APIS[api].audience, scopes: APIS[api].scopes });
    for (const tenant of tenants)
      await house.root.write(`auth0/roles/${tenant}`, { grants: { orders: ['read'] }, client_id: house.roleIds[tenant] });
    const env = { POSTERN_ISSUER: ISSUER, POSTERN_THROTTLE_ADDRESS: '1000000', POSTERN_THROTTLE_CLIENT: '1000000' };
    const replicas = await Promise.all(Array.from({ length: count }, () => house.startReplica({ env })));
    const admin = { jwt: await backEndToken(house, ['read:tenants', 'read:keys']) };
    return new Stage({ house, replicas, operator }, { client, operatorToken, service: await house.issueSecret('service'), admin, pairs });
  }

  async stop(): Promise<void> {
    await this.#agent.close();
    await this.#client.close();
    await this.house.stop();
  }

  /** A tenant that has used every door once, on every replica. */
  async subject(
    tenant: string,
    options: { byKey?: boolean; ends?: number; owner?: string; quick?: ApiName; slow?: ApiName } = {},
  ): Promise<Subject> {
    const { quick = 'reports', slow = 'orders' } = options;
    const issued = await this.#issueKey(tenant, options.ends, options.owner);
    const halves = ApiKey.parse(issued.key)!.credential;
    const secret = await issueSecretId(this.operator, { tenant, wrap: false });
    registerSecret('secret_id', secret.secret_id ?? '');
    const credential = options.byKey
      ? { client_id: halves.clientId, client_secret: halves.reveal(), accessor: issued.accessor }
      : { client_id: secret.role_id, client_secret: secret.secret_id ?? '', accessor: secret.accessor ?? '' };
    // A person's token lies elsewhere than the tenant's own, which their Vault login reads, too.
    if (options.owner !== undefined)
      await exchange(
        this.replicas[0]!,
        { client_id: secret.role_id, client_secret: secret.secret_id ?? '' },
        { audience: APIS[quick].audience },
      );
    const signer = { clientId: credential.client_id, ...this.#pairs.get(tenant)! };
    const tokens = await Promise.all(
      this.replicas.map(async (replica) => (await exchange(replica, credential, { audience: APIS[quick].audience })).body['access_token']),
    );
    const token = String(tokens[0]);
    const login = await this.login(credential);
    const published = await this.#waitForPublished(tenant, login ?? '', quick);
    return { tenant, credential, key: issued.key, keyId: issued.keyId, signer, vaultToken: login ?? '', token, published, quick, slow };
  }

  async #waitForPublished(tenant: string, token: string, quick: ApiName): Promise<string> {
    const publication = await this.house.root.read(`postern/data/publications/${tenant}`);
    if (publication?.data?.['data'] === undefined) return '';
    for (const until = performance.now() + 20_000; performance.now() < until;) {
      const found = await this.#inKv(tenant, token, publishedApi(quick));
      if (found !== undefined) return found;
      await sleep(100);
    }
    throw new Error(`nothing is published of ${tenant}`);
  }

  /** What a Vault Agent would find. */
  async #inKv(tenant: string, token: string, api: ApiName): Promise<string | undefined> {
    const found = await this.#client.read(`postern-tokens/data/${tenant}/${api}`, { token }).catch(() => undefined);
    return (found?.data?.['data'] as { access_token?: string } | undefined)?.access_token;
  }

  /** @param ends seconds from now; shorter than the CLI issues them */
  async #issueKey(
    tenant: string,
    ends: number | undefined,
    owner: string | undefined,
  ): Promise<{ key: string; keyId: string; accessor: string }> {
    if (ends === undefined) {
      const issued = await issueKey(this.operator, { tenant, ...(owner === undefined ? {} : { owner, scopes: ['read'], ttl: 3_600 }) });
      registerSecret('API key', issued.key);
      return { key: issued.key, keyId: issued.key_id, accessor: issued.accessor ?? '' };
    }
    const keyId = `key_${Math.random().toString(16).slice(2, 14).padEnd(24, '0')}`;
    const metadata = { key_id: keyId, environment: 'live', expires_at: String(Math.floor(Date.now() / 1000) + ends) };
    const { data } = await this.house.root.write(`auth/approle/role/${tenant}/secret-id`, {
      metadata: JSON.stringify(metadata),
      ttl: `${ends}s`,
    });
    const key = ApiKey.format('live', this.house.roleIds[tenant] ?? '', String(data?.['secret_id']));
    registerSecret('API key', key);
    registerSecret('secret_id', String(data?.['secret_id']));
    return { key, keyId, accessor: String(data?.['secret_id_accessor']) };
  }

  /** At Vault itself. @returns undefined where that is refused */
  async login({ client_id, client_secret }: Credential): Promise<string | undefined> {
    const { auth } = await this.#client
      .write('auth/approle/login', { role_id: client_id, secret_id: client_secret })
      .catch((): { auth: undefined } => ({ auth: undefined }));
    const token = auth?.['client_token'];
    if (typeof token === 'string') registerSecret('Vault token', token);
    return typeof token === 'string' ? token : undefined;
  }

  audience(api: ApiName): string {
    return APIS[api].audience;
  }

  /** Exchanges that wait for Auth0, one on each replica. @returns their access tokens, once they have ended */
  underWay({ tenant, credential, slow, signer }: Subject, by: 'secret' | 'assertion' | 'trust'): Promise<(string | undefined)[]> {
    return Promise.all(
      this.replicas.map(async (replica) => {
        const shown = by === 'secret' ? credential : {};
        const more = by === 'assertion' ? this.#assertion(signer) : by === 'trust' ? keyless(tenant) : {};
        const parameters = { audience: APIS[slow].audience, ...more };
        return (await exchange(replica, shown, parameters)).body['access_token'] as string | undefined;
      }),
    );
  }

  /** What a broker does on a person's behalf, or on Auth0's: with the policy of brokers. */
  async asBroker<T>(work: (access: VaultAccess) => Promise<T>): Promise<T> {
    return work(new VaultAccess({ client: this.#client, token: new VaultToken(await vaultToken(this.house, 'postern-broker')) }));
  }

  /** The operator, for whom somebody else tells what ended. */
  withAnnouncer(announcer: Announcer): VaultAccess {
    return new VaultAccess({ client: this.#client, token: this.#operatorToken, announcer });
  }

  #assertion(signer: ClientSigner): Record<string, string> {
    return { client_assertion_type: ASSERTION, client_assertion: assertionOf(signer, ISSUER) };
  }

  async #bodyOf(path: string, issuer: string, form: Record<string, string>): Promise<Record<string, unknown>> {
    const response = await fetch(`${issuer}${path}`, { method: 'POST', body: new URLSearchParams(form), dispatcher: this.#agent });
    const text = await response.text();
    return response.ok ? ((text === '' ? { empty: true } : JSON.parse(text)) as Record<string, unknown>) : {};
  }

  async revoke({ credential, token }: Subject): Promise<void> {
    const { client_id, client_secret } = credential;
    await this.#bodyOf('oauth/revoke', this.replicas[0]!.issuer, { client_id, client_secret, token });
  }

  /** What each door gives: a token, something that is not a token, or nothing. One answer a replica, where replicas answer. */
  readonly doors: Readonly<Record<Door, (subject: Subject) => Promise<readonly (string | undefined)[]>>> = {
    'token endpoint': ({ credential, quick }) =>
      this.#each((replica) => this.#token(replica, credential, { audience: APIS[quick].audience })),
    private_key_jwt: ({ signer, quick }) =>
      this.#each((replica) => this.#token(replica, {}, { audience: APIS[quick].audience, ...this.#assertion(signer) })),
    keyless: ({ tenant, quick }) =>
      this.#each((replica) => this.#token(replica, {}, { audience: APIS[quick].audience, ...keyless(tenant) })),
    'token exchange, login from before': ({ vaultToken: before, quick }) =>
      this.#each((replica) => this.#exchanged(replica, before, quick)),
    'token exchange, login from after': async ({ credential, quick }) => {
      const after = await this.login(credential);
      return after === undefined ? [] : this.#each((replica) => this.#exchanged(replica, after, quick));
    },
    '/verify': ({ key, quick }) =>
      this.#each(async (replica) => {
        const headers = { Authorization: `Bearer ${key}` };
        const url = `${replica.issuer}verify?audience=${encodeURIComponent(APIS[quick].audience)}`;
        const response = await fetch(url, { headers, dispatcher: this.#agent });
        await response.body?.cancel();
        return response.ok ? response.headers.get('authorization')?.replace(/^Bearer /, '') : undefined;
      }),
    'introspection by the tenant': ({ credential, token }) => this.#each((replica) => this.#introspect(replica, credential, token)),
    'introspection by a service': ({ token }) => this.#each((replica) => this.#introspect(replica, this.#service, token)),
    'plugin, login from before': async ({ tenant, vaultToken: before }) => [await this.#creds(tenant, before)],
    'plugin, login from after': async ({ tenant, credential }) => {
      const after = await this.login(credential);
      return after === undefined ? [] : [await this.#creds(tenant, after)];
    },
    'shared cache, login from before': async ({ tenant, quick, vaultToken: before }) => [await this.#inKv(tenant, before, quick)],
    'published, login from before': async ({ tenant, quick, vaultToken: before }) => [
      await this.#inKv(tenant, before, publishedApi(quick)),
    ],
    'admin API': ({ tenant, keyId, quick }) =>
      this.#each(async ({ admin }) => {
        const [shown, keys, apis] = await Promise.all([
          callAdmin(admin, this.#admin, 'GET', `/v1/tenants/${tenant}`),
          callAdmin(admin, this.#admin, 'GET', `/v1/tenants/${tenant}/keys`),
          callAdmin(admin, this.#admin, 'GET', '/v1/apis'),
        ]);
        const granted = (shown.body['grants'] as { api: string }[] | undefined)?.some(({ api }) => api === quick);
        const key = (keys.body['keys'] as { key_id: string; state: string }[] | undefined)?.find(({ key_id: id }) => id === keyId);
        const there = (apis.body['apis'] as { api: string }[] | undefined)?.some(({ api }) => api === quick);
        const good = shown.body['state'] === 'active' && granted && key?.state === 'active' && there;
        return good ? 'as before' : undefined;
      }),
  };

  #each(ask: (replica: LocalReplica) => Promise<string | undefined>): Promise<(string | undefined)[]> {
    return Promise.all(this.replicas.map((replica) => ask(replica)));
  }

  async #token(
    replica: { issuer: string },
    credential: Partial<Credential>,
    parameters: Record<string, string>,
  ): Promise<string | undefined> {
    return (await exchange(replica, credential, parameters)).body['access_token'] as string | undefined;
  }

  #exchanged(replica: { issuer: string }, subject: string, quick: ApiName): Promise<string | undefined> {
    return this.#token(
      replica,
      {},
      { grant_type: TOKEN_EXCHANGE, subject_token: subject, subject_token_type: VAULT_TOKEN, audience: APIS[quick].audience },
    );
  }

  async #introspect({ issuer }: { issuer: string }, { client_id, client_secret }: Credential, token: string): Promise<string | undefined> {
    return (await this.#bodyOf('oauth/introspect', issuer, { client_id, client_secret, token }))['active'] === true ? token : undefined;
  }

  async #creds(tenant: string, token: string): Promise<string | undefined> {
    const given = await this.#client.read(`auth0/creds/${tenant}`, { token }).catch(() => undefined);
    const access = given?.data?.['access_token'];
    if (typeof access === 'string') registerSecret('access token', access);
    return typeof access === 'string' ? access : undefined;
  }
}

export const DOORS = [
  'token endpoint',
  'private_key_jwt',
  'keyless',
  'token exchange, login from before',
  'token exchange, login from after',
  '/verify',
  'introspection by the tenant',
  'introspection by a service',
  'plugin, login from before',
  'plugin, login from after',
  'shared cache, login from before',
  'published, login from before',
  'admin API',
] as const;
export type Door = (typeof DOORS)[number];

/** The one that an event which is about one API is about, or another. */
const publishedApi = (quick: ApiName): ApiName => (quick === 'gone' ? 'gone' : 'kept');

/** An organization of its own for each tenant. */
export function organizationOf(tenant: string): string {
  return `org_${tenant.replaceAll('-', '')}`;
}

/** The workload that a tenant trusts until something happens. */
export const trustOf = (tenant: string) => ({
  issuer: GITHUB,
  audience: `https://tokens.example.com/${tenant}`,
  subject: `repo:${tenant}/app:ref:refs/heads/main`,
});

/** A new token of that workload each time. */
function keyless(tenant: string): Record<string, string> {
  const { audience: aud, subject: sub } = trustOf(tenant);
  return { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion: githubToken({ aud, sub }) };
}

const ecPair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
