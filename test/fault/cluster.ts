import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fetch } from 'undici';
import { NODES, freeNodePorts, nodeConfiguration, startNode } from '#test/fixture/raft.ts';
import type { NodeName } from '#test/fixture/raft.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { until } from '#test/fixture/until.ts';
import { findVault } from '#tools/part/vault.ts';
import type { Leashed } from '#tools/process/leash.ts';
import type { Agent, Response } from 'undici';
import { PATIENCE_MS } from './patience.ts';

export interface ClusterOptions {
  home: string;
  /** Holds ca.pem, cert.pem and key.pem. */
  tls: string;
  logs: string;
  /** Trusts the nodes' certificates. */
  agent: Agent;
  /** More lines of each node's configuration. */
  more?: string;
}

export interface NodeAnswer {
  status: number;
  /** Empty where it isn't JSON. */
  json: Record<string, any>;
}

/** Three real Vaults on Raft with TLS, each a process that can be killed, frozen, sealed and started again. */
export class Cluster {
  rootToken = '';
  readonly #unsealKeys: string[] = [];
  readonly #options: ClusterOptions;
  readonly #program: string;
  readonly #ports: Awaited<ReturnType<typeof freeNodePorts>>;
  readonly #running = new Map<NodeName, Leashed>();

  private constructor(options: ClusterOptions, program: string, ports: Awaited<ReturnType<typeof freeNodePorts>>) {
    this.#options = options;
    this.#program = program;
    this.#ports = ports;
  }

  /** Initialized, unsealed, with a leader and two followers who have caught up. */
  static async start(options: ClusterOptions): Promise<Cluster> {
    const cluster = new Cluster(options, (await findVault()).path, await freeNodePorts());
    try {
      await Promise.all(NODES.map((name) => cluster.start(name)));
      const first = NODES[0];
      await cluster.#answering(first);
      const { json } = await cluster.ask(first, 'PUT', 'sys/init', { secret_shares: 1, secret_threshold: 1 });
      cluster.rootToken = json['root_token'];
      cluster.#unsealKeys.push(...json['keys_base64']);
      for (const key of [...json['keys'], ...json['keys_base64']]) registerSecret('Vault unseal key', key);
      registerSecret('Vault root token', cluster.rootToken);
      for (const name of NODES) await cluster.unseal(name);
      await cluster.healthy();
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  port(name: NodeName): number {
    return this.#ports[name].api;
  }

  data(name: NodeName): string {
    return join(this.#options.home, `data-${name}`);
  }

  pid(name: NodeName): number {
    return this.#running.get(name)?.pid ?? 0;
  }

  /** Sealed, as every start leaves it. */
  async start(name: NodeName): Promise<void> {
    const { home, tls, more = '', logs } = this.#options;
    mkdirSync(this.data(name), { recursive: true, mode: 0o700 });
    const file = join(home, `${name}.hcl`);
    writeFileSync(
      file,
      // Raft waits five times as long by default: production clusters are told to use 1.
      `${nodeConfiguration(name, this.#ports, this.data(name)).replace('node_id =', 'performance_multiplier = 1\n  node_id =')}\n${more}\n`
        .replaceAll('/etc/vault.d', tls)
        .replaceAll('10.20.0.0/16', '127.0.0.0/8'),
    );
    this.#running.set(name, await startNode(this.#program, { file, home, log: join(logs, `faults-${name}.log`) }));
  }

  /** Once it answers; one that is unsealed stays so. */
  async unseal(name: NodeName): Promise<void> {
    await this.#answering(name);
    let next = 0;
    await until(async () => {
      const { json } = await this.ask(name, 'GET', 'sys/seal-status');
      if (json['sealed'] === false) return true;
      // A node that has not yet heard of the others is not initialized.
      if (json['initialized'] !== true || performance.now() < next) return false;
      let taken = true;
      for (const key of this.#unsealKeys) taken &&= (await this.ask(name, 'PUT', 'sys/unseal', { key })).status === 200;
      // A node that joins takes the key and unseals itself later. Given the key again before that, it does so twice: two of its parts then
      // watch who leads, one takes the news from the other, and it stays active for ever beside the next leader.
      next = performance.now() + (taken ? 30_000 : 500);
      return false;
    }, PATIENCE_MS);
  }

  /** One leader after the other; the last one has no majority, and a standby seals itself at a restart alone. */
  async sealAll(): Promise<void> {
    const sealed: NodeName[] = [];
    while (sealed.length < 2) {
      const leader = await this.elected(sealed.at(-1));
      // On a loaded machine Vault takes longer over it than a call may.
      await this.ask(leader, 'PUT', 'sys/seal').catch(() => {});
      await until(async () => (await this.ask(leader, 'GET', 'sys/seal-status')).json['sealed'] === true, PATIENCE_MS);
      sealed.push(leader);
    }
    const last = NODES.find((name) => !sealed.includes(name))!;
    await this.kill(last);
    await this.start(last);
    await this.#answering(last);
  }

  signal(name: NodeName, signal: NodeJS.Signals): void {
    process.kill(this.pid(name), signal);
  }

  /** Whether its process lives. */
  runs(name: NodeName): boolean {
    try {
      return process.kill(this.pid(name), 0);
    } catch {
      return false;
    }
  }

  /** One leader after the other steps down, until it is this one. */
  async lead(name: NodeName): Promise<void> {
    for (;;) {
      const leader = await this.elected();
      if (leader === name) return;
      // Vault gives no say in who is next: those who shall not lead wait until the others have.
      await this.ask(leader, 'PUT', 'sys/step-down').catch(() => {});
      await this.healthy();
    }
  }

  /** Of all that is stored. */
  async snapshot(): Promise<Uint8Array> {
    const response = await this.#send(await this.elected(), 'GET', 'sys/storage/raft/snapshot', undefined, PATIENCE_MS);
    if (response.status !== 200) throw new Error(`Vault answers ${response.status} to who wants a snapshot`);
    return response.bytes();
  }

  async restore(snapshot: Uint8Array): Promise<void> {
    const { status } = await this.#send(await this.elected(), 'PUT', 'sys/storage/raft/snapshot-force', snapshot, PATIENCE_MS);
    if (status !== 204) throw new Error(`Vault answers ${status} to who restores a snapshot`);
  }

  /** SIGKILL, and it is gone. */
  async kill(name: NodeName): Promise<void> {
    this.signal(name, 'SIGKILL');
    await this.#running.get(name)?.exited;
  }

  async revive(name: NodeName): Promise<void> {
    await this.start(name);
    await this.unseal(name);
  }

  /** Who leads: asked of all, since those that are cut off, frozen or sealed may think otherwise. @returns undefined: nobody does */
  async leader(): Promise<NodeName | undefined> {
    const answers = await Promise.all(
      NODES.map(async (name) => ((await this.ask(name, 'GET', 'sys/health').catch(() => ({ status: 0 }))).status === 200 ? [name] : [])),
    );
    return answers.flat()[0];
  }

  /** @param other than this one */
  async elected(other?: NodeName): Promise<NodeName> {
    let leader: NodeName | undefined;
    await until(async () => {
      leader = await this.leader();
      return leader !== undefined && leader !== other;
    }, PATIENCE_MS);
    return leader!;
  }

  /** All three are members, unsealed, and have caught up. */
  async healthy(): Promise<void> {
    await until(async () => {
      const leader = await this.leader();
      if (leader === undefined) return false;
      const { json } = await this.ask(leader, 'GET', 'sys/storage/raft/autopilot/state').catch(() => ({ json: {} as NodeAnswer['json'] }));
      const servers = Object.values((json['data']?.['servers'] ?? {}) as Record<string, { healthy: boolean }>);
      return servers.length === NODES.length && servers.every(({ healthy }) => healthy);
    }, PATIENCE_MS);
  }

  /** Its leader answers at the balancer. @param address `https://127.0.0.1:PORT` */
  async reachable(address: string): Promise<void> {
    await until(
      () =>
        fetch(`${address}/v1/sys/health`, { dispatcher: this.#options.agent, signal: AbortSignal.timeout(2_000) }).then(
          async (response) => (await response.text(), response.status === 200),
          () => false,
        ),
      PATIENCE_MS,
    );
  }

  /** One request of Vault's API at one node, as root. @throws where it doesn't answer within `patience` ms */
  async ask(name: NodeName, method: string, path: string, body?: object, patience = 10_000): Promise<NodeAnswer> {
    const response = await this.#send(name, method, path, body === undefined ? undefined : JSON.stringify(body), patience);
    const text = await response.text();
    try {
      return { status: response.status, json: text === '' ? {} : (JSON.parse(text) as NodeAnswer['json']) };
    } catch {
      return { status: response.status, json: {} };
    }
  }

  async stop(): Promise<void> {
    // A frozen one doesn't hear that it shall end.
    for (const { pid } of this.#running.values())
      try {
        process.kill(pid, 'SIGCONT');
      } catch {
        /* it is gone */
      }
    await Promise.all([...this.#running.values()].map((one) => one.stop()));
  }

  async #answering(name: NodeName): Promise<void> {
    const answers = (): Promise<boolean> =>
      this.ask(name, 'GET', 'sys/seal-status', undefined, 2_000).then(
        ({ status }) => status === 200,
        () => false,
      );
    await until(answers, PATIENCE_MS);
  }

  #send(name: NodeName, method: string, path: string, body: string | Uint8Array | undefined, patience: number): Promise<Response> {
    return fetch(`https://127.0.0.1:${this.port(name)}/v1/${path}`, {
      method,
      headers: this.rootToken === '' ? {} : { 'X-Vault-Token': this.rootToken },
      ...(body === undefined ? {} : { body }),
      redirect: 'manual',
      signal: AbortSignal.timeout(patience),
      dispatcher: this.#options.agent,
    });
  }
}
