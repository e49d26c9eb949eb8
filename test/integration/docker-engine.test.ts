import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { startEngine } from '#test/part/docker-engine.ts';
import { answers } from '#tools/part/ping.ts';
import { onPath } from '#tools/part/program.ts';
import { checkout } from '#tools/part/version.ts';

const able = process.platform === 'linux' && process.getuid?.() === 0 && (await onPath('dockerd', process.env)) !== undefined;

/** What an engine of ours may leave on the machine. */
async function traces(host: string, owner: number): Promise<string[]> {
  const folder = host.slice('unix://'.length).replace('/docker.sock', '');
  const processes = (await execa('pgrep', ['-f', folder], { reject: false })).stdout.split('\n').filter(Boolean);
  const links = (await execa('ip', ['-brief', 'link'])).stdout.includes(`pst${owner} `);
  const mounts = (await execa('cat', ['/proc/mounts'])).stdout.includes(folder);
  return [
    ...(processes.length > 0 ? ['process'] : []),
    ...(links ? ['bridge'] : []),
    ...(mounts ? ['mount'] : []),
    ...(existsSync(folder) ? ['folder'] : []),
  ];
}

describe.runIf(able)('the Docker Engine that the tests start', () => {
  it('answers, changes no firewall or forwarding, and leaves nothing', async () => {
    const before = (await execa('cat', ['/proc/sys/net/ipv4/ip_forward'])).stdout;
    const engine = await startEngine(process.env, () => {});
    expect(await answers(engine.host, process.env)).toBe(engine.version);
    expect((await execa('cat', ['/proc/sys/net/ipv4/ip_forward'])).stdout).toBe(before);
    expect(await traces(engine.host, process.pid)).toContain('process');
    await engine.stop();
    expect(await traces(engine.host, process.pid)).toEqual([]);
  });

  it('leaves nothing when its owner is killed', async () => {
    const program = `import { startEngine } from '#test/part/docker-engine.ts';
console.log((await startEngine(process.env, () => {})).host);
setInterval(() => {}, 1000);`;
    const owner = execa(process.execPath, ['--input-type=module', '-e', program], { cwd: checkout, reject: false });
    let host = '';
    for await (const line of owner) {
      host = line;
      owner.kill('SIGKILL');
    }
    await owner;
    expect(host).toContain('unix://');
    for (let turn = 0; turn < 150 && (await traces(host, owner.pid as number)).length > 0; turn++) await sleep(200);
    expect(await traces(host, owner.pid as number)).toEqual([]);
  });
});
