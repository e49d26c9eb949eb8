import { readFile } from 'node:fs/promises';
import { ApiKey } from '#broker/credential/api-key.ts';
import { VaultToken } from '#broker/credential/identity.ts';
import { VaultAccess } from '#broker/operator/access.ts';
import { issueKey } from '#broker/operator/key/issue.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, LocalReplica, Reply } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { makeCertificates, trustHere } from './certificate.ts';

/** One API of each source and, below, of each of Auth0's token dialects. */
export const APIS = {
  orders: { audience: 'https://orders.example.com', source: 'auth0', scopes: ['read:orders', 'write:orders'] },
  reports: { audience: 'https://reports.example.com', source: 'transit', scopes: ['read:reports', 'write:reports'], lifetime: 3_600 },
  billing: { audience: 'https://billing.example.com', source: 'auth0', scopes: ['read:billing'], dialect: 'rfc9068_profile' },
  stock: { audience: 'https://stock.example.com', source: 'transit', scopes: ['read:stock'], lifetime: 3_600, dialect: 'rfc9068_profile' },
  stockAuthz: {
    audience: 'https://stock-authz.example.com',
    source: 'transit',
    scopes: ['read:stock'],
    lifetime: 3_600,
    dialect: 'rfc9068_profile_authz',
  },
  reportsAuthz: {
    audience: 'https://reports-authz.example.com',
    source: 'transit',
    scopes: ['read:reports'],
    lifetime: 3_600,
    dialect: 'access_token_authz',
  },
  /** Nobody has a grant for it. */
  payroll: { audience: 'https://payroll.example.com', source: 'transit', scopes: ['read:payroll'], lifetime: 3_600 },
} as const;

export type ApiName = keyof typeof APIS;

export const UNKNOWN_AUDIENCE = 'https://nowhere.example.com';
export const PLAN = { 'https://postern.dev/plan': 'gold' } as const;

/** A broker over TLS for clients that others wrote. */
export interface Stage {
  house: House;
  replica: LocalReplica;
  /** `localhost:PORT`, what an Auth0 SDK calls its domain. */
  domain: string;
  tokenEndpoint: string;
  caFile: string;
  acme: Credential;
  /** Somebody of another tenant's organization, who has a key of their own. */
  person: Person;
  /** Whose tokens an API's are: the broker's own, or Auth0's. */
  issuerOf(api: ApiName): string;
  /** acme's token for an API, or somebody else's, asked for by plain HTTP. */
  tokenFor(api: ApiName, parameters?: Readonly<Record<string, string>>, credential?: Partial<Credential>): Promise<string>;
  ask(parameters: Readonly<Record<string, string>>, credential?: Partial<Credential>): Promise<Reply>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface Person {
  /** Auth0 user id. */
  readonly id: string;
  readonly organization: string;
  readonly keyId: string;
  /** The halves of their key. */
  readonly credential: Pick<Credential, 'client_id' | 'client_secret'>;
}

/** After this the whole process trusts the stage's certification authority. */
export async function startStage(): Promise<Stage> {
  await using starting = new AsyncDisposableStack();
  const certificates = starting.use(await makeCertificates());
  trustHere(await readFile(certificates.caFile, 'utf8'));
  const names = Object.fromEntries(Object.keys(APIS).map((name) => [name, kebab(name)])) as Record<ApiName, string>;
  const house = starting.use(
    await startHouse({
      apis: Object.fromEntries(Object.entries(APIS).map(([name, api]) => [names[name as ApiName], api])),
      tenants: {
        acme: {
          grants: Object.entries(APIS)
            .filter(([name]) => name !== 'payroll')
            .map(([name, { scopes }]) => ({ api: names[name as ApiName], scopes })),
          claims: PLAN,
        },
        globex: {},
        initech: {
          organization: ORGANIZATION,
          grants: Object.entries(APIS).map(([name, { scopes }]) => ({ api: names[name as ApiName], scopes: [...scopes] })),
        },
      },
    }),
  );
  const replica = await house.startReplica({ tls: certificates });
  const acme = await house.issueSecret('acme');
  const person = await personOf(house);
  const owned = starting.move();
  const ask: Stage['ask'] = (parameters, credential = acme) => exchange(replica, credential, parameters);
  return {
    house,
    replica,
    domain: new URL(replica.issuer).host,
    tokenEndpoint: `${replica.issuer}oauth/token`,
    caFile: certificates.caFile,
    acme,
    person,
    issuerOf: (api) => (APIS[api].source === 'auth0' ? house.auth0.issuer : replica.issuer),
    async tokenFor(api, parameters = {}, credential = acme) {
      const { body, text } = await ask({ audience: APIS[api].audience, ...parameters }, credential);
      if (typeof body['access_token'] !== 'string') throw new Error(`no token for ${api}: ${text}`);
      return body['access_token'];
    },
    ask,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const ORGANIZATION = 'org_conformance1';

/** A key as `postern key issue initech --owner …` makes one. */
async function personOf(house: House): Promise<Person> {
  const client = new VaultClient({ address: house.vault.address });
  try {
    const id = 'auth0|65f0c0ffee';
    const access = new VaultAccess({ client, token: new VaultToken(house.vault.rootToken) });
    const scopes = [...new Set(Object.values(APIS).flatMap((api) => api.scopes))].filter((scope) => scope !== 'read:payroll');
    const { key, key_id: keyId } = await issueKey(access, { tenant: 'initech', owner: id, scopes });
    registerSecret('API key', key);
    const halves = ApiKey.parse(key)!.credential;
    registerSecret('secret_id', halves.reveal());
    return { id, organization: ORGANIZATION, keyId, credential: { client_id: halves.clientId, client_secret: halves.reveal() } };
  } finally {
    await client.close();
  }
}

const kebab = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
