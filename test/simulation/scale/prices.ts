import { Authorization } from '#broker/authorization/authorization.ts';
import { AnnouncementWatch } from '#broker/credential/announcements.ts';
import { AppRoleCredential } from '#broker/credential/approle.ts';
import { CatalogWatch } from '#broker/credential/catalog-watch.ts';
import { Endings } from '#broker/credential/endings.ts';
import { Generations } from '#broker/credential/generations.ts';
import { VerifiedCredentials } from '#broker/credential/verified-credentials.ts';
import { Exchange } from '#broker/token/exchange.ts';
import { Revocations } from '#broker/token/revocations.ts';
import { TokenCache } from '#broker/token/cache.ts';
import { Token } from '#broker/token/token.ts';
import { VaultAnnouncements } from '#broker/vault/announcements.ts';
import { VaultApis } from '#broker/vault/apis.ts';
import { AppRoleLogin } from '#broker/vault/approle-login.ts';
import { VaultCatalog } from '#broker/vault/catalog.ts';
import type { VaultClient } from '#broker/vault/client.ts';
import { DEPARTURES_PATH, VaultEndings } from '#broker/vault/endings.ts';
import { VaultGrants } from '#broker/vault/grants.ts';
import { KeyEnds } from '#broker/vault/key-ends.ts';
import { KEY_METADATA } from '#broker/vault/key-metadata.ts';
import { VaultRevocations } from '#broker/vault/revocations.ts';
import { VaultTokens } from '#broker/vault/tokens.ts';
import { KvFixture } from '#test/unit/vault/kv-fixture.ts';

/** What Vault is asked for, told apart by what it costs there. */
export const OPERATIONS = ['login', 'tenant read', 'token read', 'token write', 'state read'] as const;
export type Operation = (typeof OPERATIONS)[number];
/** Requests, by operation. */
export type Price = Readonly<Record<Operation, number>>;

export interface Prices {
  /** A credential that isn't remembered: login, what ends it, its grants. A token in memory meanwhile is served on. */
  readonly verification: Price;
  /** The same of an API key. */
  readonly keyVerification: Price;
  /** Beside the verification: the token isn't in memory, and another replica has stored it. */
  readonly fromStore: Price;
  /** The token lies nowhere: the store is looked at, the lease taken, the token stored. */
  readonly fetch: Price;
  /** A token that is due is fetched ahead. */
  readonly refresh: Price;
  /** Tokens asked of the source in a fetch or refresh. */
  readonly sourceCalls: number;
  /** One look at what is announced, each second. */
  readonly look: Price;
  /** The catalogue of APIs, with so many in it as here: one. */
  readonly catalogue: Price;
}

const API = { audience: 'https://orders.example.com', source: 'auth0', scopes: ['read:orders'], lifetime: 86_400 };
const KEY = `key_${'0'.repeat(24)}`;

/** One tenant's way through the real classes of a replica, over a Vault that counts. */
class House {
  readonly documents = new KvFixture('postern');
  readonly tokens = new KvFixture('postern-tokens');
  #logins = 0;
  sourceCalls = 0;
  now = Date.UTC(2026, 0, 1);

  constructor() {
    this.documents.set('postern/data/apis/orders', API);
    for (const tenant of ['acme', 'keyed'])
      this.documents.set(`postern/data/tenants/${tenant}`, { grants: [{ api: 'orders', scopes: API.scopes }] });
  }

  replica() {
    const now = (): number => this.now;
    const { kv, session } = this.documents;
    const generations = new Generations();
    const endings = new Endings({ reader: new VaultEndings(kv, session), now });
    const departures = new Endings({ reader: new VaultEndings(kv, session, DEPARTURES_PATH), now });
    const client = {
      write: async (_path: string, { role_id: tenant }: { role_id: string }) => {
        this.#logins++;
        return {
          auth: {
            client_token: `hvb.${tenant}`,
            token_type: 'batch',
            lease_duration: 3600,
            metadata: { role_name: tenant, ...(tenant === 'keyed' ? KEY_OF : {}) },
          },
        };
      },
    } as unknown as VaultClient;
    const verified = new VerifiedCredentials({
      login: new AppRoleLogin({
        client,
        mount: 'approle',
        forwardAddress: false,
        ends: { rotations: new KeyEnds(kv), announced: endings, departed: departures },
        now,
      }),
      now,
    });
    const apis = new VaultApis({ kv, session, sources: ['auth0'], now });
    const store = new VaultTokens(this.tokens.kv, this.tokens.session);
    const cache = new TokenCache({
      store,
      now,
      generations,
      sources: {
        auth0: {
          issue: async () => {
            this.sourceCalls++;
            const at = Math.floor(this.now / 1000);
            return new Token(`h.${this.sourceCalls}.s`, API.scopes.join(' '), at, at + API.lifetime);
          },
        },
      },
    });
    const authorization = new Authorization({
      grants: new VaultGrants(kv),
      apis,
      issuers: { auth0: 'https://example.eu.auth0.com/' },
      isDisabled: () => false,
    });
    const exchange = new Exchange({ verified, authorization, cache, apis, store, generations });
    const announcements = new AnnouncementWatch({
      reader: new VaultAnnouncements(kv, session),
      watched: [
        new Revocations({ log: new VaultRevocations(kv, session), now }),
        endings,
        departures,
        new CatalogWatch({
          reader: new VaultCatalog(kv, session),
          generations,
          reload: () => apis.reload(),
          forget: () => verified.forgetAll(),
        }),
      ],
      verified,
      generations,
      now,
    });
    const ask = (tenant = 'acme') =>
      exchange.run(credentialOf(tenant), { audience: API.audience, scope: undefined, organization: undefined }, '192.0.2.1', {});
    return { ask, verified, apis, announcements, cache };
  }

  async priceOf(work: () => unknown): Promise<Price> {
    const { calls: documents } = this.documents;
    const { calls: tokens } = this.tokens;
    const logins = this.#logins;
    documents.length = 0;
    tokens.length = 0;
    await work();
    // What goes on in the background, over a Vault that answers at once.
    await new Promise((resolve) => setTimeout(resolve, 5));
    const ofTenant = documents.filter(({ token }) => token !== 'own').length;
    const written = tokens.filter(({ operation }) => operation === 'write').length;
    return {
      login: this.#logins - logins,
      'tenant read': ofTenant,
      'token read': tokens.length - written,
      'token write': written,
      'state read': documents.length - ofTenant,
    };
  }
}

function credentialOf(tenant: string): AppRoleCredential {
  const credential = AppRoleCredential.of(tenant, 'a-secret-of-a-tenant');
  if (credential === undefined) throw new Error('no credential');
  return credential;
}

const KEY_OF = { [KEY_METADATA.keyId]: KEY };

const minus = (all: Price, part: Price): Price =>
  Object.fromEntries(OPERATIONS.map((name) => [name, all[name] - part[name]])) as unknown as Price;

/** Requests to Vault, as the real classes make them: where they come to make others, so does the simulation. */
export async function prices(): Promise<Prices> {
  const house = new House();
  const [first, second] = [house.replica(), house.replica()];
  const look = await house.priceOf(() => first.announcements.look());
  const catalogue = await house.priceOf(() => first.apis.load());
  await second.apis.load();
  const cold = await house.priceOf(() => first.ask());
  const sourceCalls = house.sourceCalls;
  const shared = await house.priceOf(() => second.ask());
  const hit = await house.priceOf(() => first.ask());
  if (OPERATIONS.some((name) => hit[name] !== 0)) throw new Error(`a hit asks Vault: ${JSON.stringify(hit)}`);
  first.verified.forgetAll();
  const verification = await house.priceOf(() => first.ask());
  await first.ask('keyed');
  first.verified.forgetAll();
  const keyVerification = await house.priceOf(() => first.ask('keyed'));
  house.now = (first.cache.recent().find(({ grant }) => grant.tenant === 'acme')?.token.refreshAt ?? 0) + 1;
  await first.apis.load();
  const due = await house.priceOf(() => first.ask());
  return {
    verification,
    keyVerification,
    fromStore: minus(shared, verification),
    fetch: minus(cold, verification),
    refresh: minus(due, verification),
    sourceCalls,
    look,
    catalogue,
  };
}
