import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { APIS } from '#dev/scenario.ts';
import { startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica } from '#test/fixture/broker.ts';
import { postern, spawnPostern, log } from './cli-run.ts';
import type { Ran } from './cli-run.ts';
import { stageMigration } from './migration.stage.ts';
import type { Stage } from './migration.stage.ts';

let house: House;
let replica: LocalReplica;
let stage: Stage;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-migration-'));
  house = await startHouse({ tenants: { acme: { grants: [{ api: 'orders', scopes: ['read:orders'] }] } } });
  replica = await house.startReplica();
  stage = await stageMigration(house, folder);
  stage.env['POSTERN_URL'] = replica.issuer;
}, 180_000);
afterAll(async () => {
  await house?.stop();
  await rm(folder, { recursive: true, force: true });
});

const migrate = (args: readonly string[], env: Record<string, string> = {}, input?: string): Promise<Ran> =>
  postern(['migrate', ...args], { env: { ...stage.env, ...env }, ...(input === undefined ? {} : { input }) });

interface Plan {
  version: 1;
  domain: string;
  applications: { client_id: string; name: string; tenant: string; migrate: boolean; grants: object[]; [more: string]: unknown }[];
}

/** A plan of these applications alone. */
async function planOf(name: string, secrets: Record<string, string>, change: (one: Plan['applications'][number]) => object = () => ({})) {
  const file = join(folder, name);
  const ran = await migrate(['plan', '--json', '--out', file]);
  expect(ran.code, ran.stderr).toBe(0);
  const plan = JSON.parse(await readFile(file, 'utf8')) as Plan;
  const applications = plan.applications.filter(({ client_id: id }) => id in secrets).map((one) => ({ ...one, ...change(one) }));
  await writeFile(file, JSON.stringify({ ...plan, applications }, null, 2));
  return { file, tenants: applications.map(({ tenant }) => tenant) };
}

const clientAtAuth0 = (id: string) => house.auth0.account.clients.find((one) => one.id === id);

describe('one application after the other', () => {
  test('from the plan to its end, each step dry first', async () => {
    const secrets = stage.applications(['Initech']);
    const [id = ''] = Object.keys(secrets);
    const { file, tenants } = await planOf('one.json', secrets);
    expect(tenants).toEqual(['initech']);

    const dry = await migrate(['apply', file, '--json']);
    expect(dry.json).toMatchObject({ dry_run: true, made: 1, issued: 0, failed: [] });
    expect(await house.root.read('auth/approle/role/initech')).toBeUndefined();
    await expect(stat(`${file}.journal`)).rejects.toThrow('ENOENT');

    const applied = await migrate(['apply', file, '--yes', '--json']);
    expect({ ...applied.json, code: applied.code }).toMatchObject({ made: 1, issued: 1, failed: [], code: 0 });
    const [one] = await stage.issued(file);
    expect(one).toMatchObject({ application: id, application_name: 'Initech', tenant: 'initech' });
    for (const beside of ['journal', 'issued']) expect((await stat(`${file}.${beside}`)).mode & 0o777).toBe(0o600);
    expect((await migrate(['apply', file, '--yes', '--json'])).json).toMatchObject({ made: 0, unchanged: 1, issued: 0 });

    const before = house.auth0.calls.token;
    const verified = await migrate(['verify', file, id, '--json', '--secret-file', '-'], {}, secrets[id]);
    expect(verified.code, verified.stdout + verified.stderr).toBe(0);
    expect(house.auth0.calls.token).toBe(before + 2);
    const [comparison] = verified.json['comparisons'];
    expect(comparison).toMatchObject({ outcome: 'same', api: 'orders', tenant: 'initech' });
    const weights = Object.fromEntries(
      (comparison.differences as { claim: string; weight: string }[]).map(({ claim, weight }) => [claim, weight]),
    );
    expect(weights).toMatchObject({ iss: 'same', aud: 'same', scope: 'same', azp: 'changes', sub: 'changes' });
    // What it was tried with is gone; the customer's is still wrapped.
    expect(await stage.credentials('initech')).toEqual([one?.id]);

    const used = await migrate(['retire', file, '--json']);
    expect(used.json['applications'][0]).toMatchObject({
      action: 'wait',
      reasons: [expect.stringMatching(/no broker/), expect.stringMatching(/got a token/)],
    });
    house.auth0.log.events.length = 0;
    stage.entry('seccft', id, 40);
    stage.entry('seccft', 'another', 41);
    house.auth0.log.retentionMs = 45 * 86_400_000;
    const could = await migrate(['retire', file, '--unverified', '--json']);
    expect(could.json).toMatchObject({ dry_run: true, applications: [{ action: 'wait' }] });

    // The journal knows better than a log that forgot: the comparison of before was a use.
    expect(could.json['applications'][0].reasons[0]).toMatch(/got a token/);
    const disabled = await migrate(['retire', file, id, '--disable', '--unused-for', '0', '--unverified', '--yes', '--json']);
    expect(disabled.json['applications'][0], disabled.stderr).toMatchObject({ action: 'disable', reasons: [] });
    expect(clientAtAuth0(id)?.grantTypes).toEqual([]);
    const refused = await migrate(['verify', file, id, '--json'], {}, secrets[id]);
    expect(refused.json['comparisons'][0]).toMatchObject({
      outcome: 'failed',
      fault: expect.stringMatching(/Auth0 gives the application no token/),
    });
    expect(refused.code).toBe(6);
    expect((await migrate(['retire', file, '--restore', '--json'])).json).toEqual({ dry_run: true, restored: [id] });
    expect((await migrate(['retire', file, '--restore', '--yes', '--json'])).json).toEqual({ dry_run: false, restored: [id] });
    expect(clientAtAuth0(id)?.grantTypes).toEqual(['client_credentials']);

    const deleted = await migrate(['retire', file, '--unused-for', '0', '--unverified', '--yes', '--json']);
    expect(deleted.json['applications'][0]).toMatchObject({ action: 'delete' });
    expect(clientAtAuth0(id)).toBeUndefined();
    const status = await migrate(['status', file, '--json']);
    expect(status.json['applications']).toMatchObject([{ client_id: id, tenant: 'initech', state: 'deleted', noticed: [] }]);
    const journal = await readFile(`${file}.journal`, 'utf8');
    for (const secret of [secrets[id] ?? '', one?.wrapping_token ?? '']) expect(journal).not.toContain(secret);
  });
});

/** Whole: POSTERN_MIGRATION=200 POSTERN_MIGRATION_KILLS=20. */
const COUNT = Number(process.env['POSTERN_MIGRATION'] ?? 12);
const KILLS = Number(process.env['POSTERN_MIGRATION_KILLS'] ?? 6);

test(
  `${COUNT} applications, killed at ${KILLS} points: the same end, and no secret shown twice`,
  async () => {
    const names = Array.from({ length: COUNT }, (_, at) => `Moved ${String(at).padStart(3, '0')}`);
    const secrets = stage.applications(names);
    const ids = Object.keys(secrets);
    const { file, tenants } = await planOf('many.json', secrets);
    const old = await stage.secretsFile(secrets);
    house.auth0.log.events.length = 0;
    house.auth0.log.retentionMs = 45 * 86_400_000;
    for (const id of ids) stage.entry('seccft', id, 35);
    const steps = [
      ['apply', file, '--yes'],
      ['verify', file, '--secret-file', old],
      ['retire', file, '--disable', '--unused-for', '0', '--unverified', '--yes'],
      ['retire', file, '--unused-for', '0', '--unverified', '--yes'],
    ];
    // What all of it writes: head, intended, done, applied; verified; observed, disabling, disabled; observed, deleting, deleted.
    const seed = Number(process.env['POSTERN_MIGRATION_SEED'] ?? Date.now() % 100_000);
    const random = generator(seed);
    const points = Array.from({ length: KILLS }, () => Math.floor(random() * COUNT * 10)).sort((a, b) => a - b);
    const lines = async (): Promise<number> => (await readFile(`${file}.journal`, 'utf8').catch(() => '')).split('\n').length - 1;
    let said = '';
    let killed = 0;
    const began = performance.now();
    for (const step of steps) {
      for (;;) {
        const child = spawnPostern(['migrate', ...step], { env: stage.env });
        let over = false;
        const ended = Promise.resolve(child).finally(() => (over = true));
        const [point] = points;
        while (!over && point !== undefined && (await lines()) < point) await sleep(2);
        // At a line, and some way into what comes after it.
        if (!over && point !== undefined) {
          await sleep(random() * 12);
          child.kill('SIGKILL');
        }
        const { signal, exitCode, stdout, stderr } = await ended;
        said += stdout + stderr;
        if (signal === 'SIGKILL') {
          killed += 1;
          points.shift();
          continue;
        }
        expect(exitCode, `seed ${seed}, ${step[0]}: ${stderr}`).toBe(0);
        break;
      }
    }
    log(
      ['migrate', 'apply'],
      0,
      `seed ${seed}: ${COUNT} applications, killed ${killed} times, ${Math.round(performance.now() - began)} ms\n`,
    );
    expect(killed).toBeGreaterThan(0);
    for (const id of ids) expect(clientAtAuth0(id)).toBeUndefined();
    const credentials = await stage.issued(file);
    expect(credentials.map(({ tenant }) => tenant).sort()).toEqual([...tenants].sort());
    expect(new Set(credentials.map(({ wrapping_token: token }) => token)).size).toBe(COUNT);
    const journal = await readFile(`${file}.journal`, 'utf8');
    for (const { tenant, id, wrapping_token: token = '' } of credentials) {
      expect(await stage.credentials(tenant), `seed ${seed}`).toContain(id);
      // One that a kill left to end by itself is of `verify`.
      expect((await stage.credentials(tenant)).length).toBeLessThanOrEqual(1 + killed);
      expect(said + journal).not.toContain(token);
    }
    for (const secret of Object.values(secrets)) expect(said + journal).not.toContain(secret);
    const { json } = await migrate(['status', file, '--json']);
    expect((json['applications'] as { state: string }[]).map(({ state }) => state)).toEqual(ids.map(() => 'deleted'));
    const first = credentials[0];
    const unwrapped = await house.root.write('sys/wrapping/unwrap', { token: first?.wrapping_token });
    const answer = await fetch(new URL('oauth/token', replica.issuer), {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: first?.client_id ?? '',
        client_secret: String(unwrapped.data?.['secret_id']),
        audience: APIS.orders.audience,
      }),
    });
    expect(answer.status).toBe(200);
  },
  KILLS * 60_000,
);

/** Mulberry32. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
