import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TENANTS } from '#dev/scenario.ts';
import { freePort } from '#dev/port.ts';
import { checkout } from '#tools/part/version.ts';
import { startLeashed } from '#tools/process/leash.ts';
import { startHouse } from '#test/fixture/broker.ts';
import type { House, ProcessReplica } from '#test/fixture/broker.ts';
import { assertionOf } from '#test/integration/assertion.forgeries.ts';
import { findGateway } from '#test/part/gateway.ts';

/** Rounds in which each replica is restarted once; `POSTERN_ROUNDS=20` for the figure in docs/numbers.md. */
const ROUNDS = Number(process.env['POSTERN_ROUNDS'] ?? 2);
const CLIENTS = 8;
/** Of these, as many sign an assertion for each request, which counts once. */
const SIGNERS = 2;
/** One for all replicas. */
const ISSUER = 'https://tokens.example.com/';
const AUDIENCE = 'https://reports.example.com';
const KEYS = generateKeyPairSync('ec', { namedCurve: 'P-256' });

let house: House;
let folder: string;
beforeAll(async () => {
  const pem = KEYS.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  house = await startHouse({ variables: { issuer: ISSUER }, tenants: { acme: { ...TENANTS.acme, assertion_keys: [{ pem }] } } });
  folder = mkdtempSync(join(tmpdir(), 'postern-rolling-'));
});
afterAll(async () => {
  await house.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** nginx with `deploy/nginx/postern.conf`, nothing but its addresses changed. */
async function startNginx(brokers: readonly number[]) {
  const port = await freePort();
  let text = readFileSync(join(checkout, 'deploy/nginx/postern.conf'), 'utf8').replace('127.0.0.1:8080', `127.0.0.1:${port}`);
  for (const [at, broker] of brokers.entries()) text = text.replace(`127.0.0.1:808${at + 1}`, `127.0.0.1:${broker}`);
  const folders = ['client_body_temp_path', 'proxy_temp_path', 'fastcgi_temp_path', 'uwsgi_temp_path', 'scgi_temp_path'];
  writeFileSync(
    join(folder, 'nginx.conf'),
    `${process.getuid?.() === 0 ? 'user root;\n' : ''}worker_processes 1;\nerror_log stderr error;\npid ${folder}/nginx.pid;\n` +
      `events { worker_connections 1024; }\nhttp {\n  access_log off;\n${folders.map((name) => `  ${name} ${folder}/${name};\n`).join('')}${text}}\n`,
  );
  const { path } = await findGateway('nginx');
  const child = await startLeashed(path, ['-p', folder, '-e', 'stderr', '-c', join(folder, 'nginx.conf'), '-g', 'daemon off;'], {
    env: { PATH: process.env['PATH'] ?? '', HOME: folder },
    log: join(folder, 'nginx.log'),
    cwd: folder,
  });
  const url = `http://127.0.0.1:${port}`;
  await expect
    .poll(
      () =>
        fetch(`${url}/livez`).then(
          ({ status }) => status,
          () => 0,
        ),
      { timeout: 10_000 },
    )
    .toBe(200);
  return { url, stop: () => child.stop() };
}

test(
  'three brokers behind nginx, restarted one after the other under load: no request fails',
  async () => {
    const ports = [await freePort(), await freePort(), await freePort()];
    const start = (port: number): Promise<ProcessReplica> =>
      house.startReplicaProcess({ port, env: { POSTERN_LAME_DUCK: '1', POSTERN_ISSUER: ISSUER } });
    const replicas = await Promise.all(ports.map(start));
    const nginx = await startNginx(ports);
    const { client_id, client_secret } = await house.issueSecret('acme');
    const asked = { grant_type: 'client_credentials', client_id, audience: AUDIENCE };
    const bySecret = () => new URLSearchParams({ ...asked, client_secret }).toString();
    const byAssertion = () =>
      new URLSearchParams({
        ...asked,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: assertionOf({ clientId: client_id, ...KEYS }, `${ISSUER}oauth/token`),
      }).toString();
    const pool = new Pool(nginx.url, { connections: CLIENTS });
    const statuses = new Map<number, number>();
    let going = true;
    const load = Promise.all(
      Array.from({ length: CLIENTS }, async (_none, client) => {
        const body = client < SIGNERS ? byAssertion : bySecret;
        while (going) {
          const status = await pool
            .request({
              method: 'POST',
              path: '/oauth/token',
              headers: { 'content-type': 'application/x-www-form-urlencoded' },
              body: body(),
            })
            .then(
              async (reply) => (await reply.body.dump(), reply.statusCode),
              () => 0,
            );
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
          await sleep(5);
        }
      }),
    );
    try {
      for (let round = 0; round < ROUNDS; round++)
        for (const [at, port] of ports.entries()) {
          await sleep(200);
          process.kill(replicas[at]!.child.pid, 'SIGTERM');
          expect(await replicas[at]!.child.ended).toBe('code 0');
          replicas[at] = await start(port);
        }
    } finally {
      going = false;
      await load;
      await pool.destroy();
      await nginx.stop();
    }
    console.log(`${ROUNDS} rounds: ${JSON.stringify(Object.fromEntries(statuses))}`);
    expect([...statuses.keys()]).toEqual([200]);
    expect(statuses.get(200)).toBeGreaterThan(ROUNDS * 100);
  },
  120_000 + ROUNDS * 60_000,
);
