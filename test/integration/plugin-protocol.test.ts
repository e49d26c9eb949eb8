import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCertificate } from '#broker/plugin/protocol/certificate.ts';
import { knock } from '#test/fixture/knock.ts';
import { startPluginVault } from '#test/fixture/plugin.ts';
import type { Answer, PluginVault } from '#test/fixture/plugin.ts';
import { checkout } from '#tools/part/version.ts';

/** The protocol alone, with the smallest engine there is, as a real Vault speaks it. */
const ENTRY = join(checkout, 'test/fixture/echo-plugin.ts');

let vault: PluginVault;
beforeAll(async () => {
  vault = await startPluginVault({ logLevel: 'debug' });
  await vault.register({ name: 'echo', version: 'v0.0.1', ...(await vault.installEntry(ENTRY, 'echo')) });
  await vault.enable({ path: 'echo', name: 'echo' });
});
afterAll(() => vault.stop());

const read = (path: string, token?: string): Promise<Answer> => vault.call('GET', path, undefined, token);
const infoOf = async (mount = 'echo'): Promise<{ pid: number; starts: string; uuid: string; config: Record<string, string> }> =>
  (await vault.root('GET', `${mount}/info`))['data'];

/** Asks without a pause until it is told to end. */
function load(clients: number): { stop: () => Promise<{ answers: number; faults: { status: number; at: number }[]; wrong: number }> } {
  const faults: { status: number; at: number }[] = [];
  let answers = 0;
  let wrong = 0;
  let running = true;
  const clientsDone = Array.from({ length: clients }, async (_, client) => {
    for (let n = 0; running; n += 1) {
      const path = `echo/${client}/${n}`;
      const { status, json } = await read(`echo/${path}`).catch(() => ({ status: 0, json: {} as Answer['json'] }));
      answers += 1;
      if (status !== 200) faults.push({ status, at: performance.now() });
      else if (json['data'].path !== path) wrong += 1;
    }
  });
  return {
    async stop() {
      running = false;
      await Promise.all(clientsDone);
      return { answers, faults, wrong };
    },
  };
}

describe('an engine in TypeScript under Vault', () => {
  it('is registered with its version, and knows its mount', async () => {
    const { data } = await vault.root('GET', 'sys/plugins/catalog');
    expect(data.detailed.find(({ name }: { name: string }) => name === 'echo')).toMatchObject({
      type: 'secret',
      version: 'v0.0.1',
      builtin: false,
    });
    expect((await vault.root('GET', 'sys/mounts/echo'))['data']).toMatchObject({ type: 'echo', running_plugin_version: 'v0.0.1' });
    expect((await infoOf()).config).toMatchObject({ plugin_name: 'echo', plugin_type: 'secret', plugin_version: 'v0.0.1' });
  });

  it('reads, writes, lists and deletes in its storage; Vault asks first whether an entry exists', async () => {
    expect(await read('echo/entries/a')).toEqual({ status: 404, json: { errors: [] } });
    expect(await vault.call('POST', 'echo/entries/a', { n: 1 })).toEqual({ status: 204, json: {} });
    expect((await read('echo/entries/a')).json['data']).toEqual({ n: 1, by: 'create' });
    await vault.root('POST', 'echo/entries/a', { n: 2, text: 'ü', deep: { list: [1, null, true] } });
    expect((await read('echo/entries/a')).json['data']).toEqual({ n: 2, text: 'ü', deep: { list: [1, null, true] }, by: 'update' });
    await vault.root('POST', 'echo/entries/b', {});
    expect((await vault.call('LIST', 'echo/entries')).json['data']).toEqual({ keys: ['a', 'b'] });
    await vault.root('DELETE', 'echo/entries/b');
    expect((await vault.call('LIST', 'echo/entries')).json['data']).toEqual({ keys: ['a'] });
  });

  it('hears who asks', async () => {
    const { data } = await vault.root('POST', 'echo/echo/some/path', { a: [1] });
    expect(data).toEqual({
      operation: 'update',
      path: 'echo/some/path',
      mount: 'echo/',
      display_name: 'root',
      entity_id: '',
      data: { a: [1] },
    });
  });

  it('knows its times in seconds, and its node', async () => {
    await vault.root('POST', 'sys/mounts/echo/tune', { default_lease_ttl: '90s', max_lease_ttl: '2h' });
    expect((await vault.root('GET', 'echo/system'))['data']).toEqual({
      default_ttl: 90,
      max_ttl: 7_200,
      local: false,
      replication: { performanceStandby: false, performanceSecondary: false, drSecondary: false },
    });
  });

  it('its special paths hold: one needs no token, one needs sudo', async () => {
    expect((await read('echo/open', '')).status).toBe(200);
    expect((await read('echo/echo/x', '')).status).toBe(403);
    await vault.root('PUT', 'sys/policies/acl/plain', { policy: 'path "echo/*" { capabilities = ["read"] }' });
    await vault.root('PUT', 'sys/policies/acl/sudo', { policy: 'path "echo/*" { capabilities = ["read", "sudo"] }' });
    const tokenOf = async (policy: string): Promise<string> =>
      (await vault.root('POST', 'auth/token/create', { policies: [policy] }))['auth'].client_token;
    expect((await read('echo/root/x', await tokenOf('plain'))).status).toBe(403);
    expect((await read('echo/root/x', await tokenOf('sudo'))).status).toBe(200);
  });

  it.each([400, 403, 404, 405, 409, 412, 429, 500, 503])('its error %d reaches the client with its message', async (status) => {
    const answer = await read(`echo/fail/${status}`);
    expect(answer.status).toBe(status);
    // Vault's own wrapping of every error that is not a bad request.
    expect(answer.json['errors']).toEqual([status === 400 ? 'as asked: 400' : `1 error occurred:\n\t* as asked: ${status}\n\n`]);
  });

  it('512 requests at once are answered, each with its own answer', async () => {
    const answers = await Promise.all(Array.from({ length: 512 }, (_, n) => read(`echo/echo/${n}`)));
    expect(answers.filter(({ status, json }, n) => status !== 200 || json['data'].path !== `echo/${n}`)).toEqual([]);
  });

  it('an entry of 900 kB goes into storage and comes back', async () => {
    const text = 'y'.repeat(900_000);
    await vault.root('POST', 'echo/entries/large', { text });
    expect((await read('echo/entries/large')).json['data'].text).toBe(text);
    await vault.root('DELETE', 'echo/entries/large');
  });

  it("an entry that Vault's storage refuses is an error, and what was there stays", async () => {
    await vault.root('POST', 'echo/entries/small', { n: 1 });
    const refused = await vault.call('POST', 'echo/entries/small', { one: 'y'.repeat(600_000), two: 'y'.repeat(600_000) });
    expect(refused).toEqual({ status: 500, json: { errors: ['1 error occurred:\n\t* the storage of Vault failed\n\n'] } });
    expect((await read('echo/entries/small')).json['data']).toEqual({ n: 1, by: 'create' });
    await expect.poll(() => vault.logs(), { timeout: 10_000 }).toMatch(/\[ERROR\] .*storage failed: .*operation=put/);
  });

  it("its log lines are in Vault's log at their level, and below Vault's level not", async () => {
    await vault.root('POST', 'echo/log/mark');
    const seen = async (): Promise<string[]> => {
      const lines = (await vault.logs()).split('\n').filter((line) => line.includes('a line at') && line.includes('mark=mark'));
      return lines.map((line) => /\[(\w+)\] .*a line at (\w+)/.exec(line)!.slice(1).join(' '));
    };
    // Vault reads the engine's standard error on its own time: the answer may be there before the last line is.
    await expect.poll(seen, { timeout: 10_000 }).toEqual(['DEBUG debug', 'INFO info', 'WARN warn', 'ERROR error']);
  });

  it.each(['now', 'later', 'rejected'])('an engine that crashes (%s) takes nobody along, and its message is not told', async (when) => {
    const { pid } = await infoOf();
    expect((await vault.call('POST', `echo/crash/${when}`)).status).toBe(when === 'now' ? 500 : 200);
    await sleep(50);
    expect((await infoOf()).pid).toBe(pid);
    expect(await vault.logs()).not.toContain('hvs.neverinthelog');
  });

  it('1,500 clients that give up in the middle disturb no other', async () => {
    const { pid } = await infoOf();
    const others = load(2);
    for (let round = 0; round < 5; round += 1) {
      const impatient = Array.from({ length: 300 }, () =>
        fetch(`${vault.address}/v1/echo/slow/3000`, {
          headers: { 'X-Vault-Token': vault.rootToken },
          signal: AbortSignal.timeout(1_000),
        }).then(
          () => 'answered',
          () => 'gave up',
        ),
      );
      expect(new Set(await Promise.all(impatient))).toEqual(new Set(['gave up']));
    }
    const { answers, faults, wrong } = await others.stop();
    expect([faults, wrong]).toEqual([[], 0]);
    expect(answers).toBeGreaterThan(50);
    expect((await infoOf()).pid).toBe(pid);
  });
});

describe('two mounts', () => {
  it('share a process and nothing else; one that goes leaves the other', async () => {
    await vault.enable({ path: 'other', name: 'echo' });
    const [one, two] = [await infoOf('echo'), await infoOf('other')];
    expect(two.pid).toBe(one.pid);
    expect(two.uuid).not.toBe(one.uuid);
    await vault.root('POST', 'other/entries/a', { mine: true });
    expect((await read('echo/entries/a')).json['data']).not.toHaveProperty('mine');
    await vault.root('DELETE', 'sys/mounts/other');
    expect((await read('other/info')).status).toBe(404);
    expect((await infoOf('echo')).pid).toBe(one.pid);
    // Its storage went with it.
    await vault.enable({ path: 'other', name: 'echo' });
    expect((await vault.call('LIST', 'other/entries')).status).toBe(404);
    await vault.root('DELETE', 'sys/mounts/other');
  });
});

describe('strangers', () => {
  it('who find the socket are cut off: no certificate, or another than that of this Vault', async () => {
    const [folder] = (await readdir(vault.folder)).filter((name) => name.startsWith('plugin-'));
    const socket = join(vault.folder, folder!, 'socket');
    for (const stranger of [undefined, await createCertificate()]) expect(['open', 'silent']).not.toContain(await knock(socket, stranger));
    expect((await read('echo/info')).status).toBe(200);
    await expect
      .poll(() => vault.logs(), { timeout: 10_000 })
      .toMatch(/\[WARN\] .*a connection was refused: it has not shown the certificate of our Vault/);
  });

  it.each<[string, Record<string, string>]>([
    ['without the cookie', {}],
    ['with a wrong one', { VAULT_BACKEND_PLUGIN: '6669da05-b1c8-4f49-97d9-000000000000' }],
    ['with the cookie, but no certificate of a Vault', { VAULT_BACKEND_PLUGIN: '6669da05-b1c8-4f49-97d9-c8e5bed98e20' }],
  ])('who start it %s get nothing on stdout, and exit 1', async (_case, env) => {
    const { exitCode, stdout, stderr } = await execa(process.execPath, [ENTRY], {
      env,
      extendEnv: false,
      reject: false,
      stdin: 'ignore',
      timeout: 20_000,
    });
    expect([exitCode, stdout]).toEqual([1, '']);
    expect(stderr).not.toBe('');
  });
});

describe('the life of the process', () => {
  it('reload under load starts it anew, with its storage', async () => {
    await vault.root('POST', 'echo/entries/kept', { n: 7 });
    const before = await infoOf();
    const clients = load(4);
    await sleep(200);
    await vault.root('PUT', 'sys/plugins/reload/backend', { plugin: 'echo' });
    await sleep(500);
    const { faults, wrong } = await clients.stop();
    expect([faults, wrong]).toEqual([[], 0]);
    const after = await infoOf();
    expect(after.pid).not.toBe(before.pid);
    expect(Number(after.starts)).toBe(Number(before.starts) + 1);
    expect((await read('echo/entries/kept')).json['data'].n).toBe(7);
    expect(await gone(before.pid)).toBeLessThan(3_000);
  });

  it('kill -9 under load: Vault starts it again, some are told 500, none is told anything wrong', async () => {
    const { pid } = await infoOf();
    const clients = load(4);
    await sleep(200);
    const at = performance.now();
    process.kill(pid, 'SIGKILL');
    await sleep(2_500);
    const { answers, faults, wrong } = await clients.stop();
    expect(wrong).toBe(0);
    expect(faults.filter(({ status }) => status !== 500)).toEqual([]);
    expect(answers - faults.length).toBeGreaterThan(faults.length);
    const lastFault = Math.max(at, ...faults.map((fault) => fault.at));
    expect(lastFault - at).toBeLessThan(2_500);
    expect((await infoOf()).pid).not.toBe(pid);
    expect((await read('echo/entries/kept')).json['data'].n).toBe(7);
  });

  it('an interrupt from the terminal is for Vault; it serves on', async () => {
    const { pid } = await infoOf();
    process.kill(pid, 'SIGINT');
    await sleep(100);
    expect((await infoOf()).pid).toBe(pid);
  });

  it('seal ends it, unseal brings it back with its storage', async () => {
    const { pid, starts } = await infoOf();
    await vault.seal();
    expect(await gone(pid)).toBeLessThan(3_000);
    expect((await read('echo/entries/kept')).status).toBe(503);
    await vault.unseal();
    const after = await infoOf();
    expect(after.pid).not.toBe(pid);
    expect(Number(after.starts)).toBe(Number(starts) + 1);
    expect((await read('echo/entries/kept')).json['data'].n).toBe(7);
  });

  it('kill -9 of Vault ends it, too: no orphan is left behind; Vault comes back with the same storage', async () => {
    const { pid } = await infoOf();
    await vault.kill();
    expect(await gone(pid)).toBeLessThan(3_000);
    await vault.start();
    expect((await read('echo/entries/kept')).json['data'].n).toBe(7);
  });

  it('leaves no socket behind, unless it was killed', async () => {
    await vault.root('DELETE', 'sys/mounts/echo');
    for (let wait = 0; wait < 100 && (await sockets()).length > 1; wait += 1) await sleep(50);
    expect(await sockets()).toHaveLength(1);
  });
});

async function sockets(): Promise<string[]> {
  return (await readdir(vault.folder)).filter((name) => name.startsWith('plugin-'));
}

/** @returns ms until that process was no more; endless after 5 s */
async function gone(pid: number): Promise<number> {
  const at = performance.now();
  for (; performance.now() - at < 5_000; await sleep(20)) {
    try {
      process.kill(pid, 0);
    } catch {
      return performance.now() - at;
    }
  }
  return Number.POSITIVE_INFINITY;
}
