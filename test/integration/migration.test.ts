import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { usagePath } from '#broker/vault/usage.ts';
import { APIS } from '#dev/scenario.ts';
import { startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica } from '#test/fixture/broker.ts';
import { seeded } from '#test/fixture/seeded.ts';
import { MAIN, log, postern, spawnPostern } from './cli-run.ts';
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

/** Auth0's log as it would be weeks later: these were last used so many days ago. */
function weeksLater(ids: readonly string[], days: number): void {
  house.auth0.log.events.length = 0;
  house.auth0.log.retentionMs = (days + 10) * 86_400_000;
  stage.entry('seccft', 'another', days + 5);
  for (const id of ids) stage.entry('seccft', id, days);
}

/** A broker has seen them, in the next minute. */
async function seenAtBroker(tenant: string): Promise<void> {
  await house.root.write(`postern/data/${usagePath('tenant', tenant)}`, {
    data: { used: { [tenant]: Math.ceil(Date.now() / 60_000) + 1 } },
  });
}

test('an operator plans on a real Vault; the file is private and is not written over', async () => {
  const { account } = house.auth0;
  for (const name of ['Acme', 'Globex nightly'])
    account.clients.push({ id: `m2m-${name.length}`, name, secrets: ['not-read'], grantTypes: ['client_credentials'] });
  account.grants.push(
    { clientId: 'm2m-4', audience: APIS.orders.audience, scopes: ['read:orders'] },
    { clientId: 'm2m-14', audience: 'https://unknown.example.com', scopes: ['read:all'] },
  );
  const file = join(folder, 'plan.json');
  const ran = await migrate(['plan', '--json', '--out', file]);
  expect(ran.code, ran.stderr).toBe(0);
  const document = ran.json as Plan;
  expect(document.applications.find(({ client_id: id }) => id === 'm2m-4')).toMatchObject({
    tenant: 'acme-m2m-4',
    migrate: true,
    grants: [{ api: 'orders', scopes: ['read:orders'] }],
  });
  expect(document.applications.find(({ client_id: id }) => id === 'm2m-14')).toMatchObject({ migrate: false, grants: [] });
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(JSON.parse(await readFile(file, 'utf8'))).toEqual(document);
  expect(ran.stdout + ran.stderr).not.toContain('not-read');
  await writeFile(file, 'edited');
  const again = await migrate(['plan', '--out', file]);
  expect(again.code).toBe(2);
  expect(await readFile(file, 'utf8')).toBe('edited');
  const except = await migrate(['plan', '--json', '--except', 'm2m-4']);
  expect(except.stdout).not.toContain('"m2m-4"');
  expect((await migrate(['plan', '--except', 'nobody'])).code).toBe(4);
}, 120_000);

test('docs/migrate.md, day by day: its commands as they stand there', async () => {
  const text = await readFile(new URL('../../docs/migrate.md', import.meta.url), 'utf8');
  const blocks = [...text.matchAll(/^```sh\n([^]*?)^```/gm)].map(([, block = '']) => block);
  const secrets = stage.applications(['Initech']);
  const own = Object.keys(stage.applications(['Own service']))[0] ?? '';
  const [id = ''] = Object.keys(secrets);
  const desk = await mkdtemp(join(folder, 'desk-'));
  await writeFile(join(desk, 'postern'), `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`, { mode: 0o755 });
  const env = { ...stage.env, PATH: `${desk}:${process.env['PATH']}`, HOME: desk, OWN_SERVICE: own, CLIENT_ID: id };
  const paste = async (begins: string): Promise<string> => {
    const block = blocks.shift() ?? '';
    expect(block).toMatch(new RegExp(`^postern migrate ${begins}`));
    const { stdout, stderr, exitCode } = await execa('bash', ['-euc', block], { cwd: desk, extendEnv: false, env, reject: false });
    log(['migrate', begins.split(' ')[0] ?? ''], exitCode, stderr);
    expect(exitCode, stdout + stderr).toBe(0);
    return stdout + stderr;
  };
  const plan = join(desk, 'plan.json');

  await paste('plan');
  const made = JSON.parse(await readFile(plan, 'utf8')) as Plan;
  const planned = made.applications.map(({ client_id: one }) => one);
  expect(planned).toContain(id);
  // One that was named, and one that is marked.
  expect(planned).not.toContain(own);
  expect(planned).not.toContain(house.m2m.client_id);
  await writeFile(plan, JSON.stringify({ ...made, applications: made.applications.filter((one) => one.client_id === id) }));

  expect(await paste('apply')).toMatch(/tenants would be made +1[^]*tenants made +1/);
  const [issued] = await stage.issued(plan);
  expect(issued).toMatchObject({ application: id, application_name: 'Initech', tenant: 'initech' });
  for (const beside of ['journal', 'issued']) expect((await stat(`${plan}.${beside}`)).mode & 0o777).toBe(0o600);
  // Nothing is done by the look that comes first, and nothing twice.
  expect((await migrate(['apply', plan, '--yes', '--json'])).json).toMatchObject({ made: 0, unchanged: 1, issued: 0 });

  const replanned = await migrate(['plan', '--json', '--journal', `${plan}.journal`]);
  expect((replanned.json as Plan).applications.find((one) => one.client_id === id)?.tenant).toBe('initech');

  expect(await paste('status')).toMatch(new RegExp(`${id}\tInitech\tinitech\tapplied`));
  await writeFile(join(desk, 'old-secrets.jsonl'), await readFile(await stage.secretsFile(secrets)), { mode: 0o600 });
  const before = house.auth0.calls.token;
  expect(await paste('verify')).toMatch(/azp \(changes\)[^]*1 of 1 comparisons: services would not notice/);
  // One by the old application, one by the shared one.
  expect(house.auth0.calls.token).toBe(before + 2);
  // What the tenant was tried with is gone; the customer's is still wrapped.
  expect(await stage.credentials('initech')).toEqual([issued?.id]);

  const early = await migrate(['retire', plan, '--disable', '--json']);
  expect(early.json['applications'][0]).toMatchObject({
    action: 'wait',
    reasons: [expect.stringMatching(/no broker has seen the tenant initech since/), expect.stringMatching(/got a token/)],
  });
  await rm(`${plan}.journal`);
  await migrate(['apply', plan, '--yes']);
  // A tenant that gets no token is not verified, whatever was before; one whose old application is refused stays what it was.
  for (const [change, failed, secret, noticed] of [
    ['disable', 'new', secrets[id], ['no token']],
    ['enable', 'old', 'not-its-secret', []],
  ] as const) {
    expect((await postern(['tenant', change, 'initech'], { env: stage.env })).code).toBe(0);
    // Every broker knows it by then.
    await sleep(2_500);
    if (change === 'enable') expect((await migrate(['verify', plan, id], {}, secrets[id])).code).toBe(0);
    const ran = await migrate(['verify', plan, id, '--json'], {}, secret);
    expect(ran.json['comparisons'], ran.stderr).toMatchObject([{ outcome: 'failed', failed }]);
    expect(ran.code).toBe(6);
    expect((await migrate(['status', plan, '--json'])).json['applications']).toMatchObject([{ noticed }]);
  }
  weeksLater([id], 35);
  await seenAtBroker('initech');
  expect(await paste('retire plan.json --disable')).toMatch(/1 would be disabled[^]*1 disabled/);
  expect(clientAtAuth0(id)?.grantTypes).toEqual([]);
  expect(await paste('retire plan.json "\\$CLIENT_ID" --restore')).toMatch(/1 let in again/);
  expect(clientAtAuth0(id)?.grantTypes).toEqual(['client_credentials']);
  expect(await paste('retire plan.json --unused-for')).toMatch(/1 would be deleted[^]*1 deleted/);
  expect(clientAtAuth0(id)).toBeUndefined();
  expect(blocks).toEqual([]);
  const journal = await readFile(`${plan}.journal`, 'utf8');
  for (const secret of [secrets[id] ?? '', issued?.wrapping_token ?? '']) expect(journal).not.toContain(secret);
}, 240_000);

test.each([
  ['a plan of another Auth0 tenant', ['retire'], { AUTH0_DOMAIN: 'other.eu.auth0.com' }, /AUTH0_DOMAIN is other/],
  ['an application that the plan has not', ['retire', 'nobody'], {}, /has no application nobody/],
  ['force for all', ['retire', '--force'], {}, /--force goes with/],
  ['30 s in place of 30 days', ['retire', '--unused-for', '30'], {}, /30 seconds would delete/],
  ['both ways at once', ['retire', '--disable', '--restore'], {}, /Either/],
  ['secrets that others may read', ['verify', '--secret-file', 'open'], {}, /others on this machine may read it/],
] as const)('%s is refused', async (_, [command, ...args], env, message) => {
  const file = join(folder, 'refused.json');
  await writeFile(file, JSON.stringify({ version: 1, domain: stage.env['AUTH0_DOMAIN'], applications: [] }));
  const open = join(folder, 'open');
  await writeFile(open, '{"client_id":"a","client_secret":"not-a-real-one"}\n', { mode: 0o644 });
  const ran = await migrate([command, file, ...args.map((one) => (one === 'open' ? open : one))], env);
  expect(ran.stderr).toMatch(message);
  expect(ran.stdout + ran.stderr).not.toContain('not-a-real-one');
  expect(ran.code).toBeGreaterThan(0);
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
    weeksLater(ids, 35);
    const steps = [
      ['apply', file, '--yes'],
      ['verify', file, '--secret-file', old],
      ['retire', file, '--disable', '--unverified', '--yes'],
      ['retire', file, '--unused-for', '30d', '--unverified', '--yes'],
    ];
    // What all of it writes: head, intended, done, applied; verified; observed, disabling, disabled; observed, deleting, deleted.
    const seed = Number(process.env['POSTERN_MIGRATION_SEED'] ?? Date.now() % 100_000);
    const random = seeded(seed);
    const points = Array.from({ length: KILLS }, () => Math.floor(random() * COUNT * 9.5)).sort((a, b) => a - b);
    const lines = async (): Promise<number> => (await readFile(`${file}.journal`, 'utf8').catch(() => '')).split('\n').length - 1;
    let said = '';
    let killed = 0;
    const began = performance.now();
    for (const step of steps) {
      for (;;) {
        const child = spawnPostern(['migrate', ...step], { env: stage.env, timeout: 600_000 });
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
        if (step[0] === 'verify') weeksLater(ids, 35);
        break;
      }
    }
    log(
      ['migrate', 'apply'],
      0,
      `seed ${seed}: ${COUNT} applications, killed ${killed} times, ${Math.round(performance.now() - began)} ms\n`,
    );
    // The last one may come too late.
    expect(killed).toBeGreaterThanOrEqual(KILLS - 1);
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
