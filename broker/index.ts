import { readConfig } from './config.ts';
import { createLog } from './log.ts';
import { startBroker as start } from './wiring/broker.ts';

/** A broker that runs inside another program. */
export interface RunningBroker {
  /** TCP port of customers' requests. */
  readonly port: number;
  /** TCP port of the admin API; undefined where it is off. */
  readonly adminPort: number | undefined;
  /** What keeps it from being ready, in an operator's words; empty: it is ready. */
  missing(): readonly string[];
  /** Finishes what is in flight, then stops. Twice is harmless. */
  close(): Promise<void>;
}

/** Where a broker inside another program writes to. */
export interface BrokerOutput {
  /** Takes one line of its log, JSON with its line end. Default: nobody. */
  log?: (line: string) => void;
  /** Takes one audit event, JSON with its line end. Default: nobody. */
  audit?: (line: string) => void;
}

/**
 * Starts a broker in this process, by the settings of `postern serve`.
 * @param env the settings, as environment variables: docs/reference.md
 * @throws PosternError `misconfigured`, naming every fault at once and no value
 */
export async function startBroker(
  env: Readonly<Record<string, string | undefined>>,
  { log = () => {}, audit = () => {} }: BrokerOutput = {},
): Promise<RunningBroker> {
  const config = readConfig(env);
  return start(config, createLog(config.POSTERN_LOG_LEVEL, { write: log }), { write: (line) => audit(line) });
}
