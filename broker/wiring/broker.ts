import type { AnnouncementWatch } from '#broker/credential/announcements.ts';
import type { AuditLog } from '#broker/audit/exchange-event.ts';
import { RationedAudit } from '#broker/audit/rationed-audit.ts';
import { failureOf, workLine } from '#broker/audit/work-event.ts';
import type { Config } from '#broker/config.ts';
import { PosternError } from '#broker/error.ts';
import type { Logger } from '#broker/log.ts';
import { TrustedProxies } from '#broker/trusted-proxies.ts';
import type { VaultApis } from '#broker/vault/apis.ts';
import { VAULT_PARTS } from '#broker/vault/part.ts';
import { httpDoor } from './http-door.ts';
import { issuance } from './issuance.ts';
import { lifeCycle } from './life-cycle.ts';
import { limiting } from './limiting.ts';
import { Counts, exposition, metricsDoor } from './metrics.ts';
import { ClockWatch } from './clock-watch.ts';
import { Progress } from './progress.ts';
import { Shedding } from './shedding.ts';
import { Quota, withLedger } from './quota.ts';
import { authorityRenewal, certificateRenewal, proxiesRenewal } from './renewals.ts';
import { connectVault } from './vault.ts';
import type { ConnectedVault } from './vault.ts';
import { tracedExchanges, tracing } from './tracing.ts';
import { verification } from './verification.ts';

/** A broker that listens. */
export interface Broker {
  readonly port: number;
  /** Of the admin API; undefined where it is off. */
  readonly adminPort: number | undefined;
  /** Of the metrics' own listener; undefined where it is off. */
  readonly metricsPort: number | undefined;
  /** Requests since the start: to Vault, and by source to its issuer's token endpoint. */
  calls(): Readonly<Record<string, number>> & { readonly vault: number };
  /** What keeps it from being ready, in an operator's words. */
  missing(): readonly string[];
  /** When Vault has refused the broker's own login for POSTERN_VAULT_AUTH_GRACE: nothing but another credential helps. */
  readonly ended: Promise<PosternError>;
  /** Looks at certificates, CA files and trusted proxies again; what is wrong with them is logged, and the old ones stay in use. */
  reload(): void;
  /** From here on it is not ready; it serves on for so long and asks clients not to keep their connections. */
  leave(ms: number): void;
  /** Finishes what is in flight, then stops. Twice is harmless. */
  close(): Promise<void>;
}

/** Announcements are being read where they were not longer ago than this, ms. */
const HEARD = 5_000;
/** How long a replica may be without a token of its own, where Vault refuses it one, until it is not ready, ms. */
const SHUT_OUT = 30_000;

/** A proxy sends requests as soon as it can connect: they wait so long at most for the first login, ms, in place of a 503. */
const START = 2_000;

/** The composition root: every part is made and wired in this room and nowhere else. */
export async function startBroker(config: Config, log: Logger, audit: AuditLog): Promise<Broker> {
  const ended = Promise.withResolvers<PosternError>();
  const counts = new Counts(config);
  const vault = connectVault(config, log, ended.resolve, (operation, ms, error) => counts.vault.observe(operation, ms, error));
  const { client, session, apis } = vault;
  const shedding = new Shedding(config, log);
  const who = verification(config, log, vault, () => announcements.age < HEARD, shedding);
  const { verifier, usage, replay } = who;
  const life = lifeCycle(config, log, vault, who, (tenant) => issued.forgetTokens(tenant));
  const { announcements } = life;
  const rationed = new RationedAudit(audit, config.POSTERN_AUDIT_REFUSALS);
  // A ration apart, so that strangers take no line from what the broker itself couldn't do.
  const background = new RationedAudit(audit, config.POSTERN_AUDIT_REFUSALS);
  const quota = new Quota(config, log, rationed, vault);
  const { ledger } = quota;
  const limits = await limiting(config, vault.troubles);
  const issued = issuance(
    config,
    log,
    vault,
    {
      ...life,
      verifier,
      refusedAddresses: who.refusedAddresses,
      isDisabled: (tenant) => announcements.isDisabled(tenant),
      limiter: limits.limiter,
    },
    {
      onIssue: (source, ms, error) => counts.sources.observe(source, ms, error),
      onWork: (work) => background.write(workLine(work), failureOf(work)),
      meter: quota,
    },
  );
  const { metered } = issued;

  const clocks = new ClockWatch(
    { name: 'Vault', label: 'vault', difference: client.clock },
    issued.sources.flatMap(({ name, issuer, clock, askTime }) =>
      clock === undefined ? [] : [{ name: issuer, label: name, difference: clock, ask: askTime }],
    ),
    log,
  );
  const lacking = () => [
    ...(session.ready ? [] : [session.problem === undefined ? 'login to Vault' : `login to Vault: ${session.problem}`]),
    ...(announcements.known ? [] : ['what is announced, ended and revoked']),
    ...(apis.known ? [] : ['the APIs']),
    ...clocks.tooFar(),
  ];
  const progress = new Progress({
    lacking,
    shutOut: () => [
      ...(session.shutOutMs >= SHUT_OUT ? [`a token of the broker's own: ${session.problem}`] : []),
      ...(announcements.serves ? [] : ['what was announced, ended or revoked lately: it could not be read for too long']),
      ...clocks.tooFar(),
    ],
    degraded: () => [...degradedBy(vault, announcements), ...clocks.theirs()],
    warnings: () => [
      ...announcements.warnings,
      ...vault.errors.lately,
      ...clocks.warnings(),
      ...(issued.publisher?.warnings ?? []),
      ...(session.problem === undefined ? [] : [`the broker's own login: ${session.problem}`]),
      ...issued.sources.flatMap(({ name, available }) =>
        available?.() === false ? [`${name} does not answer: only tokens at hand are served`] : [],
      ),
    ],
  });
  const { given, inFile } = config.trustedProxies;
  const trustedProxies = new TrustedProxies([...given, ...inFile]);
  // These doors are loaded only where they are on: with what they need they would be a quarter of the start.
  const withSelf = config.POSTERN_SELF_AUDIENCE !== undefined || config.logStreamSecret !== undefined;
  const hasEnded = (keyId: string): boolean =>
    [life.endings, life.departures].some((known) => known.knownAt('credential', keyId) !== undefined);
  const self = !withSelf
    ? undefined
    : (await import('./self-door.ts')).selfDoor(config, log, vault, {
        audit: rationed,
        departures: life.departures,
        hasEnded,
        isDisabled: (tenant) => announcements.isDisabled(tenant),
      });
  await self?.ready();
  const traces = await tracing(config, log);
  const metering = metered.size === 0 ? counts.exchanges : withLedger(counts.exchanges, ledger, metered);
  const server = httpDoor(config, log, {
    verifier,
    generations: life.generations,
    issuance: issued,
    readiness: progress,
    audit: rationed,
    watch: traces === undefined ? metering : tracedExchanges(metering),
    tracer: traces?.tracer,
    refusedAddresses: who.refusedAddresses,
    trustedProxies,
    shedding,
    catchUp: () => announcements.catchUp(),
    starting: untilStarted(() => lacking().length === 0 || session.failed),
    more: self === undefined ? [] : [self.route],
  });
  const { verified } = who;
  const exposed = exposition(config, counts, () => ({
    quota: metered.size > 0 ? quota : undefined,
    vault,
    verified,
    announcements,
    issued,
    limits,
    shedding,
    clocks,
    progress,
    server,
    audit,
  }));
  const metrics = metricsDoor(config, log, exposed);
  const admin =
    config.admin === undefined
      ? undefined
      : (await import('./admin-door.ts')).adminDoor(config, log, rationed, trustedProxies, hasEnded, exposed);
  const { VAULT_CACERT: caFile, POSTERN_TRUSTED_PROXIES_FILE: proxiesFile } = config;
  const renewals = [
    ...(config.tls === undefined ? [] : [certificateRenewal(config.tls, log, (pair) => server.useTls(pair))]),
    ...(admin === undefined || config.admin?.tls === undefined
      ? []
      : [certificateRenewal(config.admin.tls, log, (pair) => admin.useTls(pair))]),
    ...(proxiesFile === undefined
      ? []
      : [proxiesRenewal(proxiesFile, config.trustedProxies, log, (ranges) => trustedProxies.replace(ranges))]),
    ...(caFile === undefined
      ? []
      : [
          authorityRenewal(caFile, client.authorities ?? '', log, (pem) => {
            client.trust(pem);
            admin?.trustVault(pem);
            self?.trustVault(pem);
          }),
        ]),
  ];
  const close = async (): Promise<void> => {
    progress.drain();
    for (const one of renewals) one.stop();
    announcements.stop();
    clocks.stop();
    await Promise.all([server.close(config.POSTERN_SHUTDOWN_GRACE * 1000), admin?.close()]);
    await self?.close();
    replay.stop();
    issued.lately.stop();
    limits.stop();
    shedding.stop();
    // What the publisher counts is written with the rest.
    const counted = async (): Promise<void> => {
      await issued.publisher?.stop();
      await ledger.stop();
    };
    await Promise.all([counted(), usage.keys.stop(), usage.tenants.stop()]);
    await session.stop();
    await client.close();
    rationed.end();
    background.end();
    await traces?.close();
    // Last: the end of a broker can be watched, too.
    await metrics?.close(0);
    log.info('postern has stopped');
  };
  const { metrics: metricsAt } = config;
  const listens = async (): Promise<Pick<Broker, 'port' | 'adminPort' | 'metricsPort'>> => ({
    port: await server.listen(config.host, config.port).catch(cannotListen('POSTERN_LISTEN', config)),
    adminPort: await admin?.listen().catch(cannotListen('POSTERN_ADMIN_LISTEN', config.admin ?? config)),
    metricsPort: await metrics
      ?.listen(metricsAt?.host ?? '', metricsAt?.port ?? 0)
      .catch(cannotListen('POSTERN_METRICS_LISTEN', metricsAt ?? config)),
  });
  const ports = await listens().catch(async (error: unknown) => {
    // Of several ports some may be ours by now, and whoever started us may live on.
    await close();
    throw error;
  });
  const { port, metricsPort } = ports;
  if (metricsPort !== undefined) log.info({ host: metricsAt?.host, port: metricsPort }, 'metrics are told at /metrics');

  void session.run();
  usage.keys.start();
  usage.tenants.start();
  void replay.run();
  // Where Vault is there, the catalogue is read before the first request; where it isn't, the broker is alive and not ready.
  void announcements
    .start()
    .then(() => keepLoading(apis, () => progress.draining))
    .then(() => {
      if (progress.draining) return;
      issued.publisher?.start();
      if (metered.size > 0) ledger.start();
    });
  log.info({ host: config.host, port, issuer: config.POSTERN_ISSUER, vault: config.VAULT_ADDR }, 'postern listens');

  let closing: Promise<void> | undefined;
  return {
    ...ports,
    ended: ended.promise,
    calls: () => ({
      ...Object.fromEntries(issued.sources.flatMap(({ name, calls }) => (calls === undefined ? [] : [[name, calls()]]))),
      vault: client.calls,
    }),
    missing: () => progress.lacks(),
    reload: () => renewals.forEach((one) => one.look()),
    leave(ms) {
      progress.drain();
      server.leave(ms);
      admin?.leave(ms);
    },
    close: () => (closing ??= close()),
  };
}

/** Why no replica can serve anybody new now, or will soon serve nobody. */
function degradedBy({ client, silence }: ConnectedVault, announcements: AnnouncementWatch): string[] {
  const { age, unread } = announcements;
  const seconds = Math.round(age / 1000);
  if (client.away)
    return [`Vault has not answered for ${seconds} s (${silence.last}): only who was verified before and has a token here is served`];
  const hanging = client.hanging.map((part) => `Vault does not answer in time for ${VAULT_PARTS[part]}: who needs that is refused at once`);
  if (age <= HEARD || unread === undefined) return hanging;
  return [
    ...hanging,
    `what is announced, ended and revoked was last read ${seconds} s ago (${UNREAD[unread]}): after a minute nobody is served`,
  ];
}

const UNREAD = {
  refused: 'Vault refuses it, or it is not valid: see the log',
  throttled: 'Vault answers 429: raise its rate limit quota',
  unanswered: 'Vault does not answer for all of it',
} as const;

function cannotListen(setting: string, { host, port }: { readonly host: string; readonly port: number }): (error: unknown) => never {
  return (error) => {
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (syscall !== 'listen' && syscall !== 'getaddrinfo') throw error;
    const why = code === 'EADDRINUSE' ? 'another process has this port' : (code ?? 'unknown');
    throw new PosternError('misconfigured', `${setting}: nobody can listen at ${host}:${port} (${why})`, {
      detail: 'Name another address or port, or stop what has it.',
    });
  };
}

/** Until it can serve, or knows that it can't. */
async function untilStarted(known: () => boolean): Promise<void> {
  for (const until = performance.now() + START; !known() && performance.now() < until;)
    await new Promise((resolve) => setTimeout(resolve, 10).unref());
}

/** Until the catalogue was read once; later readers keep it fresh. */
async function keepLoading(apis: VaultApis, stopped: () => boolean): Promise<void> {
  while (!apis.known && !stopped()) {
    await apis.load().catch(() => {});
    if (!apis.known) await new Promise((resolve) => setTimeout(resolve, 500).unref());
  }
}
