import { expect, test } from 'vitest';
import { BackendError } from '#broker/plugin/backend.ts';
import type { Operation } from '#broker/plugin/backend.ts';
import { seeded } from '#test/fixture/seeded.ts';
import { keyPair } from '#test/unit/auth0/fake-auth0.ts';
import { stage } from './stage.ts';

const SEED = 20_261_124;
const ROUNDS = 3_000;

const OPERATIONS: readonly Operation[] = [
  'create',
  'read',
  'update',
  'patch',
  'delete',
  'list',
  'help',
  'alias-lookahead',
  'resolve-role',
  'revoke',
  'renew',
  'rollback',
  'header',
];
const SEGMENTS = [
  'config',
  'rotate',
  'apis',
  'roles',
  'creds',
  'revoke',
  'tokens',
  'info',
  'acme',
  'globex',
  'orders',
  '..',
  '.',
  '',
  '*',
  '+',
  '%2e%2e',
  'ACME',
  'a'.repeat(64),
  '\u0000',
  'ä',
  'acme\n',
  ' acme',
  '__proto__',
  'constructor',
  'toString',
  'A'.repeat(43),
  'whole',
  'config\\..',
  'cache',
  'acme:x',
  '{{acme}}',
];
const PATHS = [
  'config',
  'apis',
  'apis/orders',
  'roles',
  'roles/acme',
  'roles/initech',
  'creds/acme',
  'creds/globex',
  'revoke/acme',
  'tokens',
  'tokens/acme',
  'tokens/acme/orders',
  `tokens/acme/orders/${'A'.repeat(43)}`,
  'info',
  '',
];
const FIELDS = [
  'issuer',
  'client_id',
  'client_secret',
  'binding',
  'tenant_claim',
  'timeout',
  'min_remaining',
  'audience',
  'scopes',
  'source',
  'grants',
  'default_api',
  'organization',
  'claims',
  'disabled',
  'scope',
  'cas',
  'grant',
  'access_token',
  'token_type',
  'issued_at',
  'expires_at',
  'lease',
  'domain',
  '__proto__',
  'constructor',
  'x',
  '',
];
const VALUES: readonly unknown[] = [
  null,
  '',
  'x',
  0,
  -1,
  1.5,
  1e300,
  Number.NaN,
  true,
  false,
  [],
  {},
  [[]],
  [null],
  ['a', 7],
  { a: { b: { c: [] } } },
  '[',
  '{',
  '{"__proto__":{"x":1}}',
  '[[[[',
  'a=b',
  '=',
  '\u0000',
  'x'.repeat(5_000),
  '9'.repeat(40),
  '1h2',
  '1h',
  'https://',
  'http://127.0.0.1:1/',
  { toString: 'x' },
  { length: 1 },
  ['__proto__=x'],
  JSON.parse('{"__proto__":["read:orders"]}'),
];

test(
  `${ROUNDS} seeded requests: each is answered or refused in words, nothing else is thrown, and only ` +
    `keys of the engine's own shape are written`,
  async () => {
    const key = await keyPair('kid-1');
    await using s = await stage(key);
    await s.setUp();
    const next = seeded(SEED);
    const pick = <Value>(from: readonly Value[]): Value => from[Math.floor(next() * from.length)] as Value;
    const statuses: Record<number, number> = {};
    for (let round = 0; round < ROUNDS; round++) {
      const path = next() < 0.5 ? pick(PATHS) : Array.from({ length: 1 + Math.floor(next() * 4) }, () => pick(SEGMENTS)).join('/');
      const data = Object.fromEntries(Array.from({ length: Math.floor(next() * 4) }, () => [pick(FIELDS), pick(VALUES)]));
      const operation = pick(OPERATIONS);
      try {
        const answer = await s.call(operation, path, data);
        // What goes to Vault is JSON.
        if (answer?.data) JSON.parse(JSON.stringify(answer.data));
        statuses[200] = (statuses[200] ?? 0) + 1;
        if (operation === 'delete' && path.startsWith('config')) await s.setUp();
      } catch (error) {
        if (!(error instanceof BackendError)) throw error;
        statuses[error.status] = (statuses[error.status] ?? 0) + 1;
        expect(error.message).not.toMatch(/canary|eyJ/);
        expect(error.message.length).toBeLessThan(2_000);
      }
      await s.engine.handleExistenceCheck({
        id: '',
        operation: 'update',
        path,
        data,
        mountPoint: '',
        displayName: '',
        entityId: '',
        storage: s.storage,
        system: s.system,
      });
    }
    const name = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
    const known = new RegExp(`^(config|apis/${name}|roles/${name}|(cache|tokens)/${name}/${name}/(whole|[A-Za-z0-9_-]{43}))$`);
    expect(s.storage.calls.filter((call) => /^(get|put|delete) /.test(call) && !known.test(call.replace(/^\w+ /, '')))).toEqual([]);
    expect(
      Object.keys(statuses)
        .map(Number)
        .filter((status) => status >= 500),
    ).toEqual([]);
    expect(statuses[200]).toBeGreaterThan(50);
    expect(statuses[400]).toBeGreaterThan(100);
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  },
);
