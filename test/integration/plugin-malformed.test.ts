import { Agent, request } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { seeded } from '#test/fixture/seeded.ts';
import { startPluginStage } from './plugin-stage.ts';
import type { PluginStage } from './plugin-stage.ts';

const REQUESTS = 10_000;
const AT_ONCE = 32;
/** sdk/logical: what a failed request may be told; 404 is also a list or a role that is not there. */
const REFUSALS = new Set([400, 403, 404, 405, 409, 412, 413, 414, 415, 431]);

let stage: PluginStage;
beforeAll(async () => {
  stage = await startPluginStage();
  await stage.vault.register(await stage.vault.installEntry());
  await stage.vault.enable();
  await stage.configure();
});
afterAll(() => stage?.stop());

const NAMES = [
  '',
  '.',
  '..',
  'acme/',
  'acme//x',
  'ACME',
  'acme%2f..%2fglobex',
  '%2e%2e',
  '../../sys/mounts',
  'acme%00',
  'a'.repeat(64),
  'a'.repeat(3_000),
  '-a',
  'a-',
  'ä',
  '%F0%9F%92%A9',
  'acme%0a',
  '*',
  '+',
  '{{identity}}',
  '%',
  '%zz',
  "'; drop",
  'acme?x',
  'acme%3fx',
  '__proto__',
  'constructor',
  'hasOwnProperty',
  'whole',
];
const PATHS = [
  'config',
  'config/rotate',
  'apis/:',
  'roles/:',
  'creds/:',
  'revoke/:',
  'tokens/:',
  'tokens/:/orders',
  'tokens/acme/:',
  'tokens/acme/orders/:',
  'info',
  ':',
  'creds',
  'nothing/:',
  '',
];
const FIELDS = [
  'issuer',
  'client_id',
  'client_secret',
  'binding',
  'tenant_claim',
  'audience',
  'scopes',
  'scope',
  'grants',
  'organization',
  'claims',
  'default_api',
  'disabled',
  'cas',
  'grant',
  'access_token',
  'lease',
  '__proto__',
  'constructor',
  'toString',
  'unknown',
  '',
];
const VALUES: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1e308,
  1.5,
  '',
  ' ',
  'x',
  'x'.repeat(2_000),
  '\0',
  '\n',
  '\ud800',
  [],
  [[]],
  {},
  { a: {} },
  ['x', 1],
  { orders: 5 },
  { orders: ['\0'] },
  { __proto__: null },
  '{"orders":',
  'https://',
  'http://169.254.169.254/',
  'file:///etc/passwd',
  '9'.repeat(40),
  '-5m',
  '1y',
  'NaN',
];
const BODIES = [
  '',
  '{',
  '[]',
  'null',
  '"x"',
  '5',
  '{"a":1}{',
  '\0',
  'a=b',
  '{"cas":0,"cas":1}',
  '['.repeat(20_000),
  '{"scopes":"\\ud800"}',
  `{"x":"${'y'.repeat(100_000)}"}`,
  '{"__proto__":{"scopes":["x"]}}',
  '\ufeff{}',
  '{"a":1e999}',
];

interface Attempt {
  method: string;
  path: string;
  body: string | undefined;
  headers: Record<string, string>;
}

/** One request that nobody who read `vault path-help` would send. */
function attempt(random: () => number): Attempt {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const method = pick(['GET', 'GET', 'POST', 'POST', 'POST', 'PUT', 'DELETE', 'LIST', 'PATCH', 'HEAD', 'OPTIONS', 'TRACE', 'PURGE']);
  // Deleting what has no name of its own would be a request like any other.
  const path = pick(method === 'DELETE' ? PATHS.filter((known) => known.includes(':')) : PATHS).replaceAll(':', () => pick(NAMES));
  const query =
    random() < 0.4
      ? `?${Array.from({ length: 1 + Math.floor(random() * 3) }, () => `${encodeURIComponent(pick(FIELDS))}=${encodeURIComponent(String(wellFormed(pick(VALUES))))}`).join('&')}`
      : '';
  const objects = Object.fromEntries(Array.from({ length: 1 + Math.floor(random() * 4) }, () => [pick(FIELDS), pick(VALUES)]));
  const body =
    method === 'GET' || method === 'LIST' || method === 'HEAD' || method === 'DELETE' || method === 'TRACE'
      ? undefined
      : random() < 0.4
        ? pick(BODIES)
        : JSON.stringify(objects);
  const headers =
    random() < 0.3
      ? {
          'content-type': pick([
            'text/plain',
            'application/x-www-form-urlencoded',
            'multipart/form-data; boundary=x',
            'application/merge-patch+json',
            'application/json; charset=utf-7',
          ]),
        }
      : {};
  return { method, path: `${path}${query}`, body, headers };
}

/** A lone surrogate can't be percent-encoded. */
const wellFormed = (value: unknown): unknown => (typeof value === 'string' ? value.toWellFormed() : JSON.stringify(value));

test(
  '10,000 malformed requests through Vault: no crash, no 5xx but those that Vault itself gives to ' +
    'broken JSON, no token, and nothing has changed',
  { timeout: 300_000 },
  async () => {
    const { vault } = stage;
    const token = await stage.token('acme');
    const before = await contents();
    const [process_] = await vault.plugins();
    const random = seeded(20_261_124);
    const agent = new Agent({ connections: AT_ONCE });
    const statuses = new Map<number, number>();
    const wrong: string[] = [];
    let sent = 0;
    let vaultsOwn = 0;
    try {
      await Promise.all(
        Array.from({ length: AT_ONCE }, async () => {
          while (sent < REQUESTS) {
            sent++;
            const { method, path, body, headers } = attempt(random);
            const send = async (url: string) => {
              const answer = await request(url, {
                method: method as 'GET',
                dispatcher: agent,
                headers: { 'x-vault-token': vault.rootToken, ...headers },
                ...(body === undefined ? {} : { body }),
              });
              return { status: answer.statusCode, text: await answer.body.text() };
            };
            const { status, text } = await send(`${vault.address}/v1/auth0/${path}`);
            statuses.set(status, (statuses.get(status) ?? 0) + 1);
            const told = () => `${method} ${path.slice(0, 80)} ${body?.slice(0, 80) ?? ''} -> ${status} ${text.slice(0, 200)}`;
            if (status === 500) {
              // Vault itself answers 500 to what is not JSON, before any engine sees it: one that is built in gets the same.
              const own = await send(`${vault.address}/v1/cubbyhole/x`);
              if (own.status !== 500 || own.text !== text) wrong.push(told());
              else vaultsOwn++;
            } else if (status > 500 || text.includes(token)) wrong.push(told());
            else if (status >= 400 && !REFUSALS.has(status)) wrong.push(told());
          }
        }),
      );
    } finally {
      await agent.close();
    }
    process.stderr.write(
      `malformed requests through Vault: ${JSON.stringify(Object.fromEntries([...statuses].sort()))}, the ` +
        `${vaultsOwn} with 500 by Vault itself\n`,
    );
    expect(wrong).toEqual([]);
    expect(await vault.plugins()).toEqual([process_]);
    expect(await contents()).toEqual(before);
    expect(await stage.token('acme')).toBe(token);
  },
);

/** All that an operator has written. */
async function contents(): Promise<unknown> {
  const { vault } = stage;
  const documents: Record<string, unknown> = { config: (await vault.root('GET', 'auth0/config'))['data'] };
  for (const kind of ['apis', 'roles']) {
    for (const name of (await vault.root('LIST', `auth0/${kind}`))['data'].keys as string[])
      documents[`${kind}/${name}`] = (await vault.root('GET', `auth0/${kind}/${name}`))['data'];
  }
  return documents;
}
