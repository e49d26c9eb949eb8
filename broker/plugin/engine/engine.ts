import { clockOf } from '#broker/clock.ts';
import type { Clock, Clocks } from '#broker/clock.ts';
import { PosternError } from '#broker/error.ts';
import { ReadOnly } from '#broker/plugin/backend.ts';
import type { Backend, BackendRequest, BackendResponse, PluginLog, SpecialPaths, Storage, SystemView } from '#broker/plugin/backend.ts';
import { Apis } from './apis.ts';
import { CONFIG_KEY, Configuration } from './config.ts';
import { asBackendError, reasonOf } from './backend-error.ts';
import { Counts } from './counts.ts';
import { Credentials } from './credentials.ts';
import { Entities } from './entities.ts';
import type { CountedSource, SourceSettings } from './issuance.ts';
import { help } from './help.ts';
import { Paths } from './path.ts';
import { apiPaths } from './path/api.ts';
import { configPath } from './path/config.ts';
import { credsPaths } from './path/creds.ts';
import { infoPath } from './path/info.ts';
import { metricsPath } from './path/metrics.ts';
import { rolePaths } from './path/role.ts';
import { rotatePath } from './path/rotate.ts';
import type { RotateSecret } from './path/rotate.ts';
import { tokenPaths } from './path/token.ts';
import { Records } from './records.ts';
import { Roles } from './roles.ts';
import { TokenRecords } from './token-records.ts';
import { Upkeep } from './upkeep.ts';

export interface EngineOptions extends Clocks {
  /** `v1.2.3`. */
  readonly version: string;
  readonly source: (settings: SourceSettings) => CountedSource;
  /** The source of all its APIs, by name. */
  readonly sourceName: string;
  readonly rotate: RotateSecret;
  readonly log: PluginLog;
  /** Between two rounds of upkeep, ms. Default 5000. */
  readonly upkeepMs?: number;
}

const CACHE = 'cache/';
const SHARED = 'tokens/';

const DESCRIPTION = `Hands out Auth0 access tokens to tenants by one shared Auth0 application. Set it up once:

    vault write <mount>/config issuer=acme.eu.auth0.com client_id=... client_secret=@secret.txt
    vault write <mount>/apis/orders audience=https://orders.example.com scopes=read:orders,write:orders
    vault write <mount>/roles/acme grants=orders=read:orders
    vault read  <mount>/creds/acme

A policy that allows read on <mount>/creds/acme is all that the tenant acme needs.`;

/** What a mount's requests need, made when its storage is there. */
interface Mounted {
  readonly paths: Paths;
  readonly configuration: Configuration;
  readonly apis: Apis;
  readonly roles: Roles;
  readonly credentials: Credentials;
  readonly cache: TokenRecords;
  readonly shared: TokenRecords;
}

/** The secrets engine `auth0/`: one mount of it. */
export class Engine implements Backend {
  readonly specialPaths: SpecialPaths = { sealWrapStorage: [CONFIG_KEY, CACHE, SHARED] };
  readonly version: string;
  readonly #options: EngineOptions;
  readonly #clock: Clock;
  readonly #now: () => number;
  readonly #startedAt: number;
  readonly #counts = new Counts();
  #mounted: Mounted | undefined;
  #upkeep: Upkeep | undefined;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.version = options.version;
    this.#clock = clockOf(options);
    this.#now = this.#clock.now;
    this.#startedAt = this.#now();
  }

  async initialize(storage: Storage, system: SystemView): Promise<void> {
    // Vault may do it again; what the last one left is not to run beside this one.
    await this.#upkeep?.stop();
    this.#mounted = this.#mount(storage, system);
    const { configuration, credentials, cache, shared } = this.#mounted;
    const { log, upkeepMs = 5_000 } = this.#options;
    this.#upkeep = new Upkeep({ system, configuration, credentials, cache, shared, log, clock: this.#clock, everyMs: upkeepMs });
    this.#upkeep.start();
  }

  async handleRequest(request: BackendRequest): Promise<BackendResponse | undefined> {
    const mounted = (this.#mounted ??= this.#mount(request.storage, request.system));
    try {
      if (request.operation === 'help')
        return help(
          mounted.paths,
          { title: 'Postern: Auth0 access tokens', description: DESCRIPTION, version: this.version },
          request.path,
        );
      const answer = mounted.paths.handle(request);
      return answer instanceof Promise ? await answer : answer;
    } catch (error) {
      this.#report(error, request);
      throw asBackendError(error);
    }
  }

  async handleExistenceCheck(request: BackendRequest): Promise<boolean | undefined> {
    try {
      return await (this.#mounted ??= this.#mount(request.storage, request.system)).paths.exists(request);
    } catch (error) {
      throw asBackendError(error);
    }
  }

  invalidateKey(key: string): void {
    const mounted = this.#mounted;
    if (mounted === undefined) return;
    if (key === CONFIG_KEY) mounted.configuration.forget();
    else if (key.startsWith('apis/')) mounted.apis.forget(key.slice('apis/'.length));
    else if (key.startsWith('roles/')) {
      mounted.roles.forget(key.slice('roles/'.length));
      mounted.credentials.forgetTenant(key.slice('roles/'.length));
    } else {
      const place = mounted.cache.placeOf(key);
      if (place) mounted.credentials.invalidate(place);
    }
  }

  /** One round of upkeep now, for tests and for Vault's own periodic call. */
  async upkeep(): Promise<void> {
    await this.#upkeep?.round();
  }

  async cleanup(): Promise<void> {
    await this.#upkeep?.stop();
    this.#upkeep = undefined;
  }

  #mount(storage: Storage, system: SystemView): Mounted {
    const now = this.#now;
    const { source, sourceName, rotate, log, version } = this.#options;
    const records = new Records(storage);
    const cache = new TokenRecords(records, CACHE, now);
    const shared = new TokenRecords(records, SHARED, now);
    const configuration = new Configuration(records, () => credentials.forgetConfiguration());
    const apis = new Apis(records, log, (name) => credentials.forgetApi(name));
    const roles = new Roles(records);
    const credentials: Credentials = new Credentials({
      configuration,
      apis,
      roles,
      records: cache,
      entities: new Entities(system, this.#clock.monotonic),
      source,
      sourceName,
      log,
      counts: this.#counts,
      now,
      monotonic: this.#clock.monotonic,
    });
    const told = { version, startedAt: this.#startedAt, configuration, apis, credentials, counts: this.#counts };
    const paths = new Paths([
      configPath(configuration, now),
      rotatePath(configuration, rotate, now),
      ...apiPaths(apis, sourceName),
      ...rolePaths({ roles, apis, credentials }),
      ...credsPaths({ credentials, now }),
      ...tokenPaths(shared),
      infoPath(told),
      metricsPath(told),
    ]);
    return { paths, configuration, apis, roles, credentials, cache, shared };
  }

  /** What an operator must mend goes to Vault's log with what to do; what a caller did wrong is in the answer alone. */
  #report(error: unknown, { operation, path }: BackendRequest): void {
    if (error instanceof ReadOnly || !(error instanceof PosternError) || error.status < 500) return;
    const fields = { operation, path, reason: reasonOf(error) };
    if (error.code === 'misconfigured') this.#options.log.error('a request ended with an error that an operator must mend', fields);
    else this.#options.log.warn('a request ended with an error', fields);
  }
}
