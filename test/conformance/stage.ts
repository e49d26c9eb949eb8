import { readFile } from 'node:fs/promises';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, LocalReplica, Reply } from '#test/fixture/broker.ts';
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
  /** Whose tokens an API's are: the broker's own, or Auth0's. */
  issuerOf(api: ApiName): string;
  /** acme's token for an API, asked for by plain HTTP. */
  tokenFor(api: ApiName, parameters?: Readonly<Record<string, string>>): Promise<string>;
  ask(parameters: Readonly<Record<string, string>>, credential?: Partial<Credential>): Promise<Reply>;
  [Symbol.asyncDispose](): Promise<void>;
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
      },
    }),
  );
  const replica = await house.startReplica({ tls: certificates });
  const acme = await house.issueSecret('acme');
  const owned = starting.move();
  const ask: Stage['ask'] = (parameters, credential = acme) => exchange(replica, credential, parameters);
  return {
    house,
    replica,
    domain: new URL(replica.issuer).host,
    tokenEndpoint: `${replica.issuer}oauth/token`,
    caFile: certificates.caFile,
    acme,
    issuerOf: (api) => (APIS[api].source === 'auth0' ? house.auth0.issuer : replica.issuer),
    async tokenFor(api, parameters = {}) {
      const { body, text } = await ask({ audience: APIS[api].audience, ...parameters });
      if (typeof body['access_token'] !== 'string') throw new Error(`no token for ${api}: ${text}`);
      return body['access_token'];
    },
    ask,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const kebab = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
