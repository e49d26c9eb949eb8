import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PERMISSIONS } from '#broker/admin/caller.ts';
import { OPERATIONS } from '#broker/admin/admin-server.ts';
import { selfOperations } from '#broker/self/keys.ts';
import { TENANTS } from '#dev/scenario.ts';
import { backEndToken, callAdmin } from '#test/fixture/admin.ts';
import { startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica } from '#test/fixture/broker.ts';
import { personToken } from '#test/fixture/person.ts';
import { virtualEnvironment } from './virtual-environment.ts';

/*
 * Both OpenAPI documents held against the running servers by schemathesis: what the documents allow is accepted, what they don't is
 * refused, and every answer is one that they tell of. The same cases each time: a fixed seed, a bounded number.
 */

const SEED = 20_261_124;
/** By chance, of an operation, beside those that the documents themselves suggest; `make bench` asks for 20. */
const EXAMPLES = Number(process.env['POSTERN_TEST_EXAMPLES'] ?? 10);
/** More of the API that people whom nobody chose can send to; `make bench` asks for 5,000 requests. */
const SELF_EXAMPLES = Number(process.env['POSTERN_TEST_SELF_EXAMPLES'] ?? 25);

const HOOKS = fileURLToPath(new URL('schemathesis/hooks.py', import.meta.url));

interface Report {
  complete: boolean;
  operations: { total: number; tested: number; errored: number; skipped: number };
  test_cases: { generated: number; unique_failures: number; errored: number };
  failures: { title: string; operations: unknown[] }[];
  errors: unknown[];
  warnings: { unsupported_regex: unknown[]; missing_auth: unknown[] };
  /** By operation and phase: how many cases of each were accepted. */
  valid_rates: Record<string, Record<string, { accepted: number; conflicts: number }>>;
}

let house: House;
let replica: LocalReplica;
let program: string;
let folder: string;
let missing: string | undefined;

beforeAll(async () => {
  const environment = await virtualEnvironment(fileURLToPath(new URL('schemathesis/requirements.txt', import.meta.url)));
  if ('missing' in environment) {
    missing = environment.missing;
    return;
  }
  program = join(environment.bin, 'schemathesis');
  folder = await mkdtemp(join(tmpdir(), 'postern-schemathesis-'));
  house = await startHouse({
    admin: true,
    self: true,
    tenants: {
      ...TENANTS,
      initech: {
        organization: 'org_initech1',
        grants: [{ api: 'reports', scopes: ['read:reports'] }],
        self_service: { keys_per_user: 400, keys: 1_000 },
      },
    },
  });
  // What is tried here are the forms; limits have tests of their own.
  const many = '1000000';
  replica = await house.startReplica({
    env: { POSTERN_ADMIN_RATE: many, POSTERN_THROTTLE_CLIENT: many, POSTERN_THROTTLE_ADDRESS: many, POSTERN_SELF_RATE: many },
  });
}, 300_000);

afterAll(async () => {
  await house?.stop();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

async function run(
  name: 'admin' | 'oauth' | 'self',
  address: string,
  authorization: string,
  examples = EXAMPLES,
): Promise<{ report: Report; said: string }> {
  const path = join(folder, `${name}.json`);
  const config = fileURLToPath(new URL(`schemathesis/${name}.toml`, import.meta.url));
  // All checks are on; naming them here would overrule what the file says of one operation.
  const options = [
    `--max-examples=${examples}`,
    `--seed=${SEED}`,
    '--continue-on-failure',
    '--no-color',
    '--report=json',
    `--report-json-path=${path}`,
  ];
  const { all } = await execa(program, ['--config-file', config, 'run', `${address}openapi.json`, ...options], {
    cwd: folder,
    // Nothing of the user's own settings: proxies are for the registry, not for loopback.
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: folder,
      POSTERN_AUTHORIZATION: authorization,
      SCHEMATHESIS_HOOKS: HOOKS,
      PYTHONDONTWRITEBYTECODE: '1',
    },
    extendEnv: false,
    reject: false,
    all: true,
    timeout: 500_000,
  });
  const report = await readFile(path, 'utf8').catch(() => undefined);
  if (report === undefined) throw new Error(`schemathesis made no report:\n${all.slice(-2000)}`);
  return { report: JSON.parse(report) as Report, said: all };
}

/** @param accepted operations of which at least one case must have gone well: a server that refuses everything would pass as well */
function expectNoFailure({ report, said }: { report: Report; said: string }, operations: number, accepted: readonly string[]): void {
  expect(report.failures, said.slice(0, 6000)).toEqual([]);
  expect(report.errors).toEqual([]);
  expect({
    complete: report.complete,
    ...report.operations,
    failures: report.test_cases.unique_failures,
    errored: report.test_cases.errored,
  }).toMatchObject({ complete: true, total: operations, tested: operations, skipped: 0, failures: 0, errored: 0 });
  expect(report.warnings.unsupported_regex).toEqual([]);
  expect(report.test_cases.generated).toBeGreaterThan(operations * EXAMPLES);
  const refusedAlways = accepted.filter(
    (operation) => !Object.values(report.valid_rates[operation] ?? {}).some((rate) => rate.accepted > 0),
  );
  expect(refusedAlways).toEqual([]);
  // oxlint-disable-next-line no-console -- the number that the README names
  console.log(
    `schemathesis: ${report.test_cases.generated} cases of ${operations} operations, ${report.test_cases.unique_failures} failures`,
  );
}

describe('schemathesis', () => {
  test('the OAuth endpoints', { timeout: 540_000 }, async (context) => {
    if (missing !== undefined) return context.skip(missing);
    const { client_id, client_secret } = await house.issueSecret('acme');
    const outcome = await run('oauth', replica.issuer, `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString('base64')}`);
    // The document itself is not counted.
    expectNoFailure(outcome, 16, [
      'POST /oauth/token',
      'POST /oauth/introspect',
      'POST /oauth/revoke',
      'GET /verify',
      'POST /verify',
      'GET /.well-known/jwks.json',
      'GET /readyz',
    ]);
  });

  test('the self-service API: the right error, no 5xx, nothing of anybody else changed', { timeout: 540_000 }, async (context) => {
    if (missing !== undefined) return context.skip(missing);
    const of = (sub: string): Promise<string> =>
      personToken(house, sub, { organization: 'org_initech1', permissions: ['read:reports', 'manage:organization-keys'] });
    const own = async (jwt: string): Promise<unknown> => (await callAdmin(replica.issuer, { jwt }, 'GET', '/self/v1/keys')).body['keys'];
    const bystander = await of('auth0|bystander');
    expect((await callAdmin(replica.issuer, { jwt: bystander }, 'POST', '/self/v1/keys', { name: 'mine' })).status).toBe(201);
    const before = await own(bystander);
    const outcome = await run('self', `${replica.issuer}self/v1/`, `Bearer ${await of('auth0|schema')}`, SELF_EXAMPLES);
    expectNoFailure(outcome, selfOperations.length, ['GET /self/v1/me', 'GET /self/v1/keys', 'POST /self/v1/keys']);
    expect(await own(bystander)).toEqual(before);
  });

  // Last: it disables tenants, the persons' one too.
  test('the admin API', { timeout: 540_000 }, async (context) => {
    if (missing !== undefined) return context.skip(missing);
    const jwt = await backEndToken(house, Object.keys(PERMISSIONS));
    const outcome = await run('admin', replica.admin, `Bearer ${jwt}`);
    expectNoFailure(outcome, OPERATIONS.length, [
      'GET /v1/tenants',
      'POST /v1/tenants',
      'GET /v1/tenants/{tenant}',
      'GET /v1/apis',
      'PUT /v1/tenants/{tenant}/grants',
      'GET /v1/tenants/{tenant}/keys',
      'POST /v1/tenants/{tenant}/keys',
      'POST /v1/tenants/{tenant}/disable',
    ]);
  });
});
