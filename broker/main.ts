import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { readConfig } from './config.ts';
import { PosternError } from './error.ts';
import type { Finding } from './finding.ts';
import { BatchedLines } from './batched-lines.ts';
import { Destination } from './destination.ts';
import { createLog } from './log.ts';
import { httpsOrLoopback } from './loopback.ts';
import { mostOpenFiles } from './open-files.ts';
import { useProxies } from './proxy.ts';
import { startBroker } from './wiring/broker.ts';
import { checkStart } from './wiring/check.ts';
import type { CheckOptions } from './wiring/check.ts';
import { openAudit, openLog } from './wiring/open-destination.ts';

/** Files and sockets beside those of customers: to Vault, Auth0 and operators, and our own. */
const OTHER_FILES = 200;
/** Longest wait at the end for what is still to be written, ms. */
const WRITE_MS = 2_000;

const HELP = `Usage: node broker/main.ts

The Postern broker: exchanges AppRole credentials for Auth0-compatible access tokens.
It is configured by its environment; docs/reference.md lists the settings. At least:

  POSTERN_ISSUER     the broker's own public address, e.g. https://tokens.example.com/
  VAULT_ADDR         Vault's address
  POSTERN_ROLE_ID    the broker's own AppRole, with one of
  POSTERN_SECRET_ID, POSTERN_SECRET_ID_FILE, POSTERN_WRAPPED_SECRET_ID, POSTERN_WRAPPED_SECRET_ID_FILE
  or POSTERN_VAULT_AUTH=kubernetes, jwt or token-file, which docs/broker-identity.md explains

The log goes to stderr (or POSTERN_LOG_FILE), one audit event an exchange to stdout (or POSTERN_AUDIT_FILE,
or a syslog receiver: POSTERN_AUDIT_SYSLOG).
SIGTERM and SIGINT: not ready any more, served on for POSTERN_LAME_DUCK seconds, then what is in flight is finished.
A second one ends it at once, with exit code 143 or 130.
SIGHUP opens both files anew, and reads certificates, CA files and trusted proxies again.
SIGUSR1 and SIGUSR2 do nothing.
`;

/**
 * The broker as this process: environment, logs and signals. It ends the process when it is told to stop.
 * @throws {PosternError} misconfigured
 */
export async function serve(): Promise<void> {
  // Until there is something to read again, it is only remembered: by default SIGHUP ends a process.
  let early = false;
  let hangUp = (): void => void (early = true);
  process.on('SIGHUP', () => hangUp());
  // By default the one opens Node's inspector, by which any local user reads secrets, and the other ends the process at once.
  for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => {});
  const config = readConfig(process.env);
  const stderr = new Destination(2);
  const logDestination = openLog(config, {
    // With a file of its own; stderr has nobody to tell.
    onError: (err) => createLog(config.POSTERN_LOG_LEVEL, stderr).error({ err }, 'the log cannot be written; its lines are held back'),
    onRecovery: (lost) => log.warn({ lost }, 'the log can be written again'),
  });
  const log = createLog(config.POSTERN_LOG_LEVEL, logDestination);
  const audit = new BatchedLines(
    openAudit(config, {
      onError: (err) => log.error({ err }, 'the audit cannot be written; its lines are held back'),
      onRecovery: (lost) => log.warn({ lost }, 'the audit can be written again'),
    }),
  );
  if (!httpsOrLoopback(new URL(config.VAULT_ADDR))) {
    log.warn({ vault: config.VAULT_ADDR }, 'Vault is reached without TLS: every credential goes over the network in the clear');
  }
  if (config.unknown.length > 0) log.warn({ variables: config.unknown }, 'the broker has no settings of these names');
  if (Object.keys(config.renamed).length > 0)
    log.warn({ variables: config.renamed }, 'these settings have new names; the old ones will stop working');
  const openFiles = mostOpenFiles();
  if (openFiles !== undefined && openFiles < config.POSTERN_MAX_CONNECTIONS + OTHER_FILES)
    log.warn(
      { limit: openFiles, connections: config.POSTERN_MAX_CONNECTIONS },
      'fewer files may be open (ulimit -n, LimitNOFILE) than POSTERN_MAX_CONNECTIONS needs: raise the one or lower the other',
    );
  const proxies = useProxies(process.env);
  if (proxies !== undefined) log.info({ proxies }, 'Auth0 is reached through a proxy');
  if (config.POSTERN_VAULT_PROXY !== undefined)
    log.info({ proxies: [new URL(config.POSTERN_VAULT_PROXY).origin] }, 'Vault is reached through a proxy, unless it is on loopback');
  process.on('exit', () => {
    logDestination.flushSync();
    audit.flushSync();
  });
  // What is in the background when the process ends may never be written.
  const written = (): Promise<unknown> => Promise.all([audit.drained(WRITE_MS), logDestination.drained(WRITE_MS)]);
  const broker = await startBroker(config, log, audit);
  void broker.ended.then(async (reason) => {
    log.fatal(reason.describe(), 'the broker ends: it had no way to a Vault token for POSTERN_VAULT_AUTH_GRACE');
    await broker.close();
    await written();
    process.exit(reason.exitCode);
  });
  hangUp = () => {
    for (const [what, lines] of [['log', logDestination] as const, ['audit', audit] as const])
      try {
        lines.reopen();
      } catch (err) {
        log.error({ err }, `the ${what} file cannot be opened anew; the old one stays in use`);
      }
    log.info('SIGHUP: log and audit are opened anew; certificates, CA files and trusted proxies are read again');
    broker.reload();
  };
  if (early) hangUp();
  const stop = (signal: NodeJS.Signals) => {
    log.info({ signal, serves: config.POSTERN_LAME_DUCK }, 'stopping');
    broker.leave(config.POSTERN_LAME_DUCK * 1000);
    void sleep(config.POSTERN_LAME_DUCK * 1000)
      .then(() => broker.close())
      .catch((err: unknown) => log.error({ err }, 'it was not stopped in good order'))
      .then(() => written())
      .then(() => process.exit(0));
    // A second signal does not wait.
    for (const again of ['SIGTERM', 'SIGINT'] as const)
      process.removeAllListeners(again).once(again, () => process.exit(128 + constants.signals[again]));
  };
  process.once('SIGTERM', stop).once('SIGINT', stop);
  process.on('unhandledRejection', (err) => log.error({ err }, 'unhandled rejection'));
}

/** What {@link serve} would meet, without serving. @throws {PosternError} misconfigured: the configuration itself is wrong */
export async function check(options: CheckOptions = {}): Promise<Finding[]> {
  useProxies(process.env);
  return checkStart(readConfig(process.env), options);
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { help: { type: 'boolean', short: 'h' } } });
  if (values.help) process.stdout.write(HELP);
  else await serve();
}

if (import.meta.main) {
  main().catch((error: unknown) => {
    const known = error instanceof PosternError;
    process.stderr.write(
      `${known ? error.message : `postern could not start: ${(error as NodeJS.ErrnoException).code ?? (error as Error).name}`}\n`,
    );
    process.exit(known ? error.exitCode : 1);
  });
}
