import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { freePort } from '#dev/port.ts';
import { findGateway } from '#test/part/gateway.ts';
import { startLeashed } from '#tools/process/leash.ts';
import { SERVER_CORE, pin } from './cores.ts';

/** The physical reference: C, one worker on the servers' core. */
export interface Nginx extends AsyncDisposable {
  readonly port: number;
  /** Process ids of those that answer. */
  readonly workers: readonly number[];
}

/**
 * An nginx that answers every request with the same bytes and looks at nothing.
 * @param body what a hit's answer holds: a JSON text, in which nginx may not find a variable
 * @throws Error with the reason where nginx can't be had
 */
export async function startNginx(body: string): Promise<Nginx> {
  if (/[$'\\]/.test(body)) throw new Error('the answer holds what nginx would read as its own');
  const { path } = await findGateway('nginx');
  const folder = await mkdtemp(join(tmpdir(), 'postern-bench-nginx-'));
  const port = await freePort();
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join(' ');
  await writeFile(
    join(folder, 'nginx.conf'),
    `${process.getuid?.() === 0 ? 'user root;\n' : ''}worker_processes 1;
error_log stderr warn;
pid ${folder}/nginx.pid;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 1000000000;
  ${temporary}
  server {
    listen 127.0.0.1:${port};
    default_type application/json;
    add_header Cache-Control no-store;
    add_header Pragma no-cache;
    location / { return 200 '${body}'; }
  }
}
`,
    { mode: 0o600 },
  );
  const child = await startLeashed(path, ['-p', folder, '-e', 'stderr', '-c', join(folder, 'nginx.conf'), '-g', 'daemon off;'], {
    env: { PATH: process.env['PATH'] ?? '', HOME: folder },
    log: join(folder, 'nginx.log'),
    cwd: folder,
  });
  const stop = async (): Promise<void> => {
    await child.stop();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    for (let tries = 0; ; tries++) {
      if (
        await fetch(`http://127.0.0.1:${port}/`).then(
          (reply) => reply.ok,
          () => false,
        )
      )
        break;
      if (tries === 250) throw new Error('nginx does not answer');
      await sleep(20);
    }
    const { stdout } = await execa('pgrep', ['-P', String(child.pid)]);
    const workers = stdout.split('\n').map(Number);
    for (const pid of [child.pid, ...workers]) await pin(pid, SERVER_CORE);
    return { port, workers, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
