import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '#dev/port.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { startLeashed } from '#tools/process/leash.ts';
import { SERVER_CORE, pin } from './cores.ts';
import { findHydra } from './peers.ts';

export interface Hydra extends AsyncDisposable {
  /** Of its token endpoint. */
  readonly url: string;
  readonly pid: number;
  /** What a client sends there. */
  readonly form: Readonly<Record<string, string>>;
}

/**
 * Ory Hydra on the servers' core, its database in memory, with one client whose access tokens are JWTs by RS256 (its default).
 * @throws Error with the reason where it can't be had
 */
export async function startHydra(report: (line: string) => void, { audience, scope }: { audience: string; scope: string }): Promise<Hydra> {
  const path = await findHydra(report);
  const folder = await mkdtemp(join(tmpdir(), 'postern-bench-hydra-'));
  const [open, admin] = [await freePort(), await freePort()];
  const config = {
    dsn: 'memory',
    log: { level: 'error', leak_sensitive_values: false },
    serve: { public: { host: '127.0.0.1', port: open }, admin: { host: '127.0.0.1', port: admin }, tls: { enabled: false } },
    urls: { self: { issuer: `http://127.0.0.1:${open}` } },
    strategies: { access_token: 'jwt' },
    secrets: { system: ['0123456789abcdef0123456789abcdef'] },
  };
  // JSON is YAML.
  await writeFile(join(folder, 'hydra.yml'), JSON.stringify(config), { mode: 0o600 });
  const child = await startLeashed(path, ['serve', 'all', '--dev', '--sqa-opt-out', '-c', join(folder, 'hydra.yml')], {
    env: { PATH: process.env['PATH'] ?? '', HOME: folder, GOMAXPROCS: '1' },
    log: join(folder, 'hydra.log'),
    cwd: folder,
  });
  const stop = async (): Promise<void> => {
    await child.stop();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const ready = (): Promise<boolean> =>
      fetch(`http://127.0.0.1:${admin}/health/ready`).then(
        ({ ok }) => ok,
        () => false,
      );
    for (let tries = 0; !(await ready()); tries++) {
      if (tries === 600) throw new Error('hydra does not answer within a minute');
      await sleep(100);
    }
    await pin(child.pid, SERVER_CORE);
    const answer = await fetch(`http://127.0.0.1:${admin}/admin/clients`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        grant_types: ['client_credentials'],
        token_endpoint_auth_method: 'client_secret_post',
        audience: [audience],
        scope,
      }),
    });
    const client = (await answer.json()) as { client_id?: string; client_secret?: string };
    if (client.client_id === undefined || client.client_secret === undefined) throw new Error(`hydra made no client: ${answer.status}`);
    registerSecret('hydra client_secret', client.client_secret);
    const url = `http://127.0.0.1:${open}/oauth2/token`;
    const form = { grant_type: 'client_credentials', client_id: client.client_id, client_secret: client.client_secret, audience, scope };
    // It makes its keys for the first token, and where many ask for that at once it may fail all of them for seconds.
    const first = await fetch(url, { method: 'POST', body: new URLSearchParams(form) });
    if (first.status !== 200) throw new Error(`hydra answered ${first.status}`);
    await first.body?.cancel();
    return { url, pid: child.pid, form, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
