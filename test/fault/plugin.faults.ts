import { createHash } from 'node:crypto';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { APIS, M2M_CLIENT } from '#dev/scenario.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { PLUGIN_ENTRY } from '#test/fixture/plugin.ts';
import { until } from '#test/fixture/until.ts';
import { during } from './during.ts';
import { Answers, row } from './seen.ts';
import type { Stage } from './stage.ts';
import { PATIENCE_MS } from './patience.ts';

/** ms between two readings. */
const PACE = 100;

/** The secrets plugin, on a cluster: every node starts its own when it becomes the leader. */
export function pluginFaults(stageOf: () => Stage): void {
  test("the plugin's process is killed while the leader changes", async () => {
    const { cluster, root, hot, auth0, services, customers, m2mSecret, plugins } = stageOf();
    const { client, token } = root;
    const file = join(plugins, 'postern-auth0');
    const script = `#!/bin/sh\nexec '${process.execPath}' --max-semi-space-size=2 --max-old-space-size=68 '${PLUGIN_ENTRY}' "$@"\n`;
    writeFileSync(file, script);
    chmodSync(file, 0o755);
    const sha256 = createHash('sha256').update(script).digest('hex');
    const write = (path: string, data: Record<string, unknown>): Promise<unknown> => client.write(path, data, { token });
    await write('sys/plugins/catalog/secret/postern-auth0', { command: 'postern-auth0', sha256 });
    await write('sys/mounts/auth0', { type: 'postern-auth0', seal_wrap: true });
    await write('auth0/config', { issuer: auth0.issuer, client_id: M2M_CLIENT, client_secret: m2mSecret });
    await write('auth0/apis/orders', { audience: APIS.orders.audience, scopes: APIS.orders.scopes });
    for (const { tenant, client_id } of hot) await write(`auth0/roles/${tenant}`, { grants: { orders: APIS.orders.scopes }, client_id });

    const logins = await Promise.all(hot.map((one) => customers.loggedIn(one)));
    /** Another tenant's token, or one that a service refuses. */
    const wrong: string[] = [];
    const read = async ({ tenant, vaultToken }: { tenant: string; vaultToken: string }): Promise<string> => {
      try {
        const found = await client.read(`auth0/creds/${tenant}`, { token: vaultToken, attempts: 1 });
        const access = String(found?.data?.['access_token']);
        registerSecret('access token', access);
        const fault = await services.fault(access, tenant, APIS.orders.audience);
        if (fault !== undefined) wrong.push(fault);
        return '200';
      } catch (error) {
        return String((error as { status?: unknown }).status ?? (error as { reason?: unknown }).reason);
      }
    };
    for (const one of logins) await until(async () => (await read(one)) === '200', PATIENCE_MS);

    const answers = new Answers();
    let going = true;
    const reading = (async () => {
      for (let n = 0; going; n++) {
        const began = performance.now();
        const outcome = await read(logins[n % logins.length]!);
        answers.note(outcome, performance.now() - began);
        await sleep(PACE);
      }
      answers.close();
    })();
    let seen;
    try {
      const leader = await cluster.elected();
      seen = await during(stageOf(), {
        name: "plugin's process `kill -9` while the leader steps down; brokers' clients",
        async begin() {
          const { stdout } = await execa('pgrep', ['-P', String(cluster.pid(leader))]);
          const processes = stdout.split('\n').filter(Boolean).map(Number);
          expect(processes.length).toBeGreaterThan(0);
          const stepping = cluster.ask(leader, 'PUT', 'sys/step-down');
          for (const pid of processes) process.kill(pid, 'SIGKILL');
          await stepping;
          await cluster.elected();
          const { served } = answers;
          await until(async () => answers.served >= served + logins.length, PATIENCE_MS);
        },
      });
    } finally {
      going = false;
      await reading;
    }
    console.log(row({ ...seen, fault: 'the same; `auth0/creds` read ten times a second', hits: answers, cold: new Answers(), wrong }));
    expect([...seen.wrong, ...wrong]).toEqual([]);
    expect(seen.hits.errors).toEqual({});
    // Each tenant's token lay in storage, where the next one's plugin finds it.
    expect(seen.upstream).toBe(0);
    await cluster.healthy();
  });
}
