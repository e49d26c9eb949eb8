import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '#dev/port.ts';
import { until } from '#test/fixture/until.ts';
import { checkout } from '#tools/part/version.ts';
import { startLeashed } from '#tools/process/leash.ts';
import type { Leashed } from '#tools/process/leash.ts';
import { fetch } from 'undici';
import type { Agent } from 'undici';
import { PATIENCE_MS } from './patience.ts';

/** A broker: a real process that can be killed, and started again at the same address. */
export class Replica {
  readonly name: string;
  readonly port: number;
  readonly #env: Record<string, string>;
  readonly #log: string;
  readonly #audit: string;
  readonly #agent: Agent;
  #child: Leashed | undefined;

  private constructor(name: string, port: number, rest: { env: Record<string, string>; log: string; audit: string; agent: Agent }) {
    this.name = name;
    this.port = port;
    this.#env = rest.env;
    this.#log = rest.log;
    this.#audit = rest.audit;
    this.#agent = rest.agent;
  }

  /** Ready. @param env settings of broker/config.ts, all but where it listens */
  static async start(name: string, options: { env: Record<string, string>; logs: string; agent: Agent }): Promise<Replica> {
    const log = join(options.logs, `faults-${name}.log`);
    const audit = join(options.logs, `faults-${name}-audit.jsonl`);
    const replica = new Replica(name, await freePort(), {
      env: { ...options.env, POSTERN_AUDIT_FILE: audit },
      log,
      audit,
      agent: options.agent,
    });
    await replica.start();
    return replica;
  }

  /** `https://localhost:PORT/` */
  get url(): string {
    return `https://localhost:${this.port}/`;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async start(): Promise<void> {
    this.#child = await startLeashed(process.execPath, [join(checkout, 'broker/main.ts')], {
      env: { PATH: process.env['PATH'] ?? '', POSTERN_LISTEN: `127.0.0.1:${this.port}`, ...this.#env },
      log: this.#log,
    });
    await until(async () => (await this.readyz()).status === 200, PATIENCE_MS).catch((error: Error) => {
      throw new Error(`${this.name}: ${error.message}\n${this.log().trimEnd().split('\n').slice(-5).join('\n')}`);
    });
  }

  /** SIGKILL, and it is gone. */
  async kill(): Promise<void> {
    process.kill(this.pid, 'SIGKILL');
    await this.#child?.exited;
  }

  async stop(): Promise<void> {
    await this.#child?.stop();
  }

  log(): string {
    return readFileSync(this.#log, 'utf8');
  }

  /** A line an event. */
  audit(): string {
    return readFileSync(this.#audit, 'utf8');
  }

  /** Status 0: no answer. */
  async readyz(): Promise<{ status: number; json: Record<string, unknown> }> {
    try {
      const response = await fetch(`${this.url}readyz`, { dispatcher: this.#agent, signal: AbortSignal.timeout(2_000) });
      return { status: response.status, json: (await response.json()) as Record<string, unknown> };
    } catch {
      return { status: 0, json: {} };
    }
  }
}
