import type { Socket } from 'node:net';
import type { AuditLog } from '#broker/audit/exchange-event.ts';
import { Ration } from '#broker/audit/ration.ts';
import type { ExchangeWatch } from '#broker/audit/exchange-watch.ts';
import { ClientAddresses } from '#broker/client-address.ts';
import type { Config } from '#broker/config.ts';
import type { RefusedAddresses } from '#broker/credential/refused-addresses.ts';
import type { Generations } from '#broker/credential/generations.ts';
import type { Verifiers } from '#broker/credential/verifiers.ts';
import { PosternError } from '#broker/error.ts';
import { healthRoutes } from '#broker/http/health.ts';
import type { Readiness } from '#broker/http/health.ts';
import { HttpServer } from '#broker/http/http-server.ts';
import { introspectionEndpoint } from '#broker/http/introspection-endpoint.ts';
import { basePathOf, metadataRoutes } from '#broker/http/metadata.ts';
import { openApiRoute } from '#broker/http/openapi.ts';
import { revocationEndpoint } from '#broker/http/revocation-endpoint.ts';
import { tokenEndpoint } from '#broker/http/token-endpoint.ts';
import { verifyRoutes } from '#broker/http/verify.ts';
import type { Logger } from '#broker/log.ts';
import type { Tracer } from '#broker/span.ts';
import type { TrustedProxies } from '#broker/trusted-proxies.ts';
import type { Route } from '#broker/http/route.ts';
import type { Issuance } from './issuance.ts';
import type { Shedding } from './shedding.ts';
import { levelOf } from './level.ts';
import { version } from '#broker/version.ts';

/** Failed requests a minute that have a line each in the log. */
const FAILURES = 300;
/** The same, for those that say no more than that Vault or Auth0 is away, or that the broker is set up wrongly. */
const OUTAGES = 3;

export interface HttpDoorOptions {
  readonly verifier: Verifiers;
  readonly generations: Generations;
  readonly issuance: Issuance;
  readonly readiness: Readiness;
  readonly audit: AuditLog;
  readonly watch: ExchangeWatch;
  readonly refusedAddresses: RefusedAddresses;
  readonly trustedProxies: TrustedProxies;
  readonly shedding: Shedding;
  /** See {@link HttpServerOptions}. */
  readonly starting: Promise<void>;
  readonly catchUp: () => Promise<void> | undefined;
  readonly tracer: Tracer | undefined;
  /** Beside those of OAuth. */
  readonly more: readonly Route[];
}

/** The customers' door: OAuth, /verify, metadata and health. */
export function httpDoor(config: Config, log: Logger, options: HttpDoorOptions): HttpServer {
  const { verifier, generations, issuance, readiness, audit, watch, refusedAddresses, trustedProxies, tracer, starting, shedding, more } =
    options;
  const { exchange, introspection, now, withdrawal, sources } = issuance;
  // The keys of the source whose issuer this broker is.
  const keys = sources.find((source) => source.keys !== undefined)?.keys ?? { published: () => ({ keys: [] }) };
  // Vault away makes each request fail: none needs a line of its own by then.
  const tell = (counts: Readonly<Record<string, number>>, seconds: number): void =>
    log.warn({ counts, seconds }, 'further requests ended with an error');
  const failures = new Ration({ lines: FAILURES, tell });
  const outages = new Ration({ lines: OUTAGES, tell });
  const queueing = {
    turns: shedding.turns,
    isKnown: verifier.isKnown.bind(verifier),
    readingOf: (socket: Socket) => server.readingOf(socket),
  };
  const addresses = new ClientAddresses({ trustedProxies });
  const server = new HttpServer({
    routes: [
      tokenEndpoint({ exchange, audit, watch, queueing, now }),
      ...verifyRoutes({ exchange, audit, watch, queueing, now }),
      introspectionEndpoint({
        verifier,
        generations,
        introspection,
        tenantClaim: config.POSTERN_TENANT_CLAIM,
        audit,
        watch,
        queueing,
      }),
      revocationEndpoint({ verifier, generations, withdrawal, audit, watch, queueing }),
      ...metadataRoutes({ issuer: config.POSTERN_ISSUER, keys, jwksMaxAge: config.POSTERN_JWKS_MAX_AGE }),
      ...healthRoutes(readiness, {
        forwards: config.POSTERN_FORWARD_CLIENT_ADDRESS,
        believes: (request) => addresses.believes(request),
      }),
      ...more,
      openApiRoute({ version, maxAge: config.POSTERN_JWKS_MAX_AGE }),
    ],
    errors: config.POSTERN_ERROR_DIALECT,
    basePath: basePathOf(config.POSTERN_ISSUER),
    tls: config.tls,
    trustedProxies,
    tracer,
    queueing,
    lag: shedding.lag,
    onShed: () => shedding.count('lag'),
    starting,
    catchUp: options.catchUp,
    onUntrustedProxy: (address) =>
      log.warn(
        { address },
        'X-Forwarded-For is not believed; if this is a proxy of yours, name it in POSTERN_TRUSTED_PROXIES: ' +
          'until then everybody behind it shares one allowance of wrong credentials',
      ),
    onUnbelievedProxy: (address) => refusedAddresses.unbelieved(address),
    onUnreadableProxy: (address) =>
      log.warn({ address }, 'the X-Forwarded-For of this trusted proxy names no address: all behind it count as the proxy itself'),
    maxConnections: config.POSTERN_MAX_CONNECTIONS,
    maxPerAddress: config.POSTERN_MAX_CONNECTIONS_PER_ADDRESS,
    onError: (err, request) => {
      const level = levelOf(err);
      const kind = err instanceof PosternError ? err.code : 'internal';
      const ration = kind === 'temporarily_unavailable' || kind === 'misconfigured' ? outages : failures;
      if (level === 'debug' || ration.admits(kind)) log[level]({ err, ...request }, 'a request ended with an error');
    },
  });
  return server;
}
