import { afterAll, beforeAll, expect, test } from 'vitest';
import { ApiKey } from '#broker/credential/api-key.ts';
import type { Directory } from '#broker/credential/directory.ts';
import { VaultToken } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';
import { VaultAccess } from '#broker/operator/access.ts';
import { readApis } from '#broker/operator/apis.ts';
import { importTenants } from '#broker/operator/bulk/import.ts';
import type { Row } from '#broker/operator/bulk/row.ts';
import { isUnsettled } from '#broker/operator/ending.ts';
import { readEndingsAt } from '#broker/operator/endings.ts';
import { issueKey } from '#broker/operator/key/issue.ts';
import type { IssuedKey } from '#broker/operator/key/issue.ts';
import { revokeKeys } from '#broker/operator/key/revoke.ts';
import { rotateKey } from '#broker/operator/key/rotate.ts';
import { settleRotations } from '#broker/operator/key/settle.ts';
import { syncOwners } from '#broker/operator/owner/sync.ts';
import { finishRevocations } from '#broker/operator/secret/unfinished.ts';
import { createTenant } from '#broker/operator/tenant/create.ts';
import { removeGrants } from '#broker/operator/tenant/grants.ts';
import { deleteTenant } from '#broker/operator/tenant/delete.ts';
import { disableTenant, enableTenant } from '#broker/operator/tenant/disable.ts';
import { revokeTokens } from '#broker/operator/tenant/revoke-tokens.ts';
import { showTenant } from '#broker/operator/tenant/view.ts';
import { addTrust } from '#broker/operator/trust/add.ts';
import { removeTrust } from '#broker/operator/trust/remove.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { DEPARTURES_PATH, ENDINGS_PATH } from '#broker/vault/endings.ts';
import { rotationsPath } from '#broker/vault/key-ends.ts';
import { trustMount } from '#broker/vault/trust-login.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';
import { startRelay } from './relay.ts';
import type { Relay } from './relay.ts';
import { AUDIENCE, GITHUB, SUBJECT, issuerKey } from './trust.forgeries.ts';

/*
 * What an operator did and Vault broke off, and the operator did again, ends as if nothing had broken off: at each of its writes in turn,
 * whether Vault did it and its answer was lost, or somebody else answered in its place, a proxy that has lost it.
 */

const pem = issuerKey.publicKey.export({ type: 'spki', format: 'pem' }).toString();
const REPORTS = 'https://reports.example.com';
const ORDERS = 'https://orders.example.com';
const GRANTS = [{ api: 'reports', scopes: ['read', 'write'] }];

let house: House;
let replica: LocalReplica;
let relay: Relay;
let client: VaultClient;
let operator: VaultAccess;

beforeAll(async () => {
  house = await startHouse({
    plugin: true,
    apis: {
      reports: { audience: REPORTS, source: 'transit', scopes: ['read', 'write'] },
      orders: { audience: ORDERS, source: 'transit', scopes: ['read'] },
    },
    tenants: { acme: { grants: GRANTS, issuers: { [GITHUB]: { keys: [pem] } } }, service: { introspects: ['reports'] } },
  });
  replica = await house.startReplica();
  relay = await startRelay(house.vault.address);
  client = new VaultClient({ address: relay.address, timeoutMs: 10_000 });
  const token = new VaultToken(await vaultToken(house, 'postern-operator'));
  // Nobody here stores a token late, so that nobody waits for them.
  operator = new VaultAccess({ client, token, clock: { sleep: () => Promise.resolve() } });
}, 120_000);
afterAll(async () => {
  await client?.close();
  await relay?.stop();
  await house?.stop();
});

const BROKEN = { page: 'a page stands in its place', lost: "Vault's answer is lost" } as const;
type Broken = keyof typeof BROKEN;
type What = 'writes' | 'calls';
const body = '<html>default backend</html>';
const page = `HTTP/1.1 404 Said\r\nContent-Type: text/html\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

/**
 * Does it, and has its write of this number broken off; then does it again, if it failed.
 * @param at 0: none
 * @returns how many writes there were at the first time
 */
async function doneTwice(work: () => Promise<unknown>, at: number, how: Broken, what: What): Promise<number> {
  let writes = 0;
  const match = { test: (line: string) => (what === 'calls' || !/^(GET|LIST) /.test(line)) && (writes += 1) === at };
  if (how === 'lost') relay.lose = match;
  else relay.answer = { match, says: page };
  const fault = await work().then(
    () => undefined,
    (error: unknown) => error as PosternError,
  );
  const before = writes;
  [relay.lose, relay.answer] = [undefined, undefined];
  expect(before).toBeGreaterThanOrEqual(at);
  // An import repeats it by itself.
  expect([undefined, ...(at === 0 ? [] : ['temporarily_unavailable'])]).toContain(fault?.code);
  if (fault !== undefined)
    await work().catch((error: unknown) => {
      // Where the last write was done, there is nothing left to do.
      if (!(error instanceof PosternError && at === all && ['not_found', 'conflict'].includes(error.code))) throw error;
    });
  return before;
}
/** Writes of what is tried, undisturbed. */
let all = 0;

/** Each write of `work`, or each call, broken off in turn, in both ways, on what `stage` makes anew. */
async function ofEach(
  stage: () => Promise<{ work: () => Promise<unknown>; end: () => Promise<unknown> }>,
  least: number,
  what: What = 'writes',
): Promise<void> {
  all = 0;
  const undisturbed = await stage();
  all = await doneTwice(undisturbed.work, 0, 'lost', what);
  expect(all).toBeGreaterThanOrEqual(least);
  const wanted = await undisturbed.end();
  for (const how of Object.keys(BROKEN) as Broken[])
    for (let at = 1; at <= all; at += 1) {
      const { work, end } = await stage();
      await doneTwice(work, at, how, what);
      expect(await end(), `${at} of ${all} ${what}: ${BROKEN[how]}`).toEqual(wanted);
    }
}

/** All paths of a KV mount. */
async function walk(mount: string, folder = ''): Promise<string[]> {
  const entries = await house.root.list(`${mount}/metadata/${folder}`.replace(/\/$/, ''));
  const folders = entries.filter((entry) => entry.endsWith('/'));
  const deeper = await Promise.all(folders.map((entry) => walk(mount, `${folder}${entry}`)));
  return [...entries.filter((entry) => !entry.endsWith('/')).map((entry) => `${mount}/${folder}${entry}`), ...deeper.flat()];
}

test('a deletion that was broken off and is run again leaves what an undisturbed one leaves', { timeout: 240_000 }, async () => {
  const { root } = house;
  const mount = trustMount('postern-trust', 'acme', GITHUB);
  await ofEach(async () => {
    await createTenant(operator, 'acme', { grants: GRANTS, publish: ['reports'] }, { update: all === 0, force: true });
    await addTrust(operator, { tenant: 'acme', name: 'ci', issuer: GITHUB, audience: AUDIENCE, subject: SUBJECT });
    const roleId = String((await root.read('auth/approle/role/acme/role-id'))?.data?.['role_id']);
    await root.write(`postern/data/assertions/${roleId}`, { data: { tenant: 'acme' } });
    await root.write(`postern/data/${rotationsPath('acme')}`, { data: {} });
    await root.write('postern-tokens/data/acme/reports', { data: {} });
    return {
      work: () => deleteTenant(operator, 'acme'),
      async end() {
        const paths = [...(await walk('postern')), ...(await walk('postern-tokens'))];
        const disabled = (await root.read('postern/data/state/epoch'))?.data?.['data'] as { disabled: string[] };
        const ended = JSON.stringify((await root.read('postern/data/state/ended'))?.data);
        return {
          documents: paths.filter((path) => path.includes('acme') || path.includes(roleId)),
          roles: (await root.list('auth/approle/role')).includes('acme'),
          trusts: await root.list(`${mount}/role`),
          plugin: (await root.list('auth0/roles')).includes('acme'),
          disabled: disabled.disabled,
          ended: ended.includes(roleId),
        };
      },
    };
  }, 15);
});

test('a trust whose removal was broken off and is repeated is none at Vault either', async () => {
  const { root } = house;
  const mount = trustMount('postern-trust', 'acme', GITHUB);
  await createTenant(operator, 'acme', { grants: GRANTS }, { update: true, force: true }).catch(() =>
    createTenant(operator, 'acme', { grants: GRANTS }, { force: true }),
  );
  await ofEach(
    async () => {
      await addTrust(operator, { tenant: 'acme', name: 'ci', issuer: GITHUB, audience: AUDIENCE, subject: SUBJECT });
      return {
        work: () => removeTrust(operator, 'acme', 'ci'),
        end: async () => [await root.list(`${mount}/role`), (await walk('postern')).filter((path) => path.includes('/ci'))],
      };
    },
    6,
    'calls',
  );
});

test('a name is not used anew before the deletion that was broken off is run to its end', async () => {
  await createTenant(operator, 'globex', { grants: GRANTS, publish: ['reports'] });
  relay.answer = { match: /^DELETE \S+\/publications\//, says: page };
  await expect(deleteTenant(operator, 'globex')).rejects.toMatchObject({ code: 'temporarily_unavailable' });
  relay.answer = undefined;
  const again = () => createTenant(operator, 'globex', { grants: [] }, { force: true });
  await expect(again()).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining('broken off') });
  await deleteTenant(operator, 'globex');
  await again();
  expect(await walk('postern')).not.toContain('postern/publications/globex');
});

/** A credential of one that Terraform doesn't know. */
async function credentialOf(tenant: string): Promise<{ client_id: string; client_secret: string }> {
  const role = `auth/approle/role/${tenant}`;
  const secret = String((await house.root.write(`${role}/secret-id`)).data?.['secret_id']);
  registerSecret('secret_id', secret);
  return { client_id: String((await house.root.read(`${role}/role-id`))?.data?.['role_id']), client_secret: secret };
}

/** What lies in KV; undefined where nothing does. */
async function document(path: string): Promise<Record<string, unknown> | undefined> {
  return (await house.root.read(`postern/data/${path}`))?.data?.['data'] as Record<string, unknown> | undefined;
}

test('what a narrowing that was broken off and is repeated takes away is ended everywhere', { timeout: 240_000 }, async () => {
  const { root } = house;
  const service = await house.issueSecret('service');
  const isActive = async (token: string): Promise<unknown> => {
    const { client_id, client_secret } = service;
    const reply = await fetch(`${replica.issuer}oauth/introspect`, {
      method: 'POST',
      body: new URLSearchParams({ client_id, client_secret, token }),
    });
    return ((await reply.json()) as Record<string, unknown>)['active'];
  };
  const tokens: string[] = [];
  await ofEach(async () => {
    const tenant = `narrowed-${tokens.length}`;
    const wide = [...GRANTS, { api: 'orders', scopes: ['read'] }];
    await createTenant(operator, tenant, { grants: wide, publish: ['orders'] });
    const credential = await credentialOf(tenant);
    const { status, body: given } = await exchange(replica, credential, { audience: REPORTS });
    expect([status, given['scope']]).toEqual([200, 'read write']);
    // Whether the publisher was here already or not, there are as many tokens to discard.
    expect((await exchange(replica, credential, { audience: ORDERS })).status).toBe(200);
    const token = String(given['access_token']);
    expect(await isActive(token)).toBe(true);
    const grants = [{ api: 'reports', scopes: ['read'] }];
    const options = { apis: await readApis(operator), update: true, replace: true, width: 1 };
    const row: Row = { at: 1, tenant, spec: { grants, publish: [] }, disabled: undefined, trusts: [], issue: undefined };
    const ways = [
      () => createTenant(operator, tenant, { grants }, { update: true, replace: true }),
      () =>
        removeGrants(operator, tenant, [
          { api: 'orders', scopes: [] },
          { api: 'reports', scopes: ['write'] },
        ]),
      async () => {
        const { failed, changed, unchanged } = await importTenants(operator, [row], options);
        if (failed.length > 0) throw new PosternError('temporarily_unavailable', failed[0]!.message);
        // Where the answer to the last write was lost, there is nothing left to change.
        expect(changed + unchanged).toBe(1);
      },
    ];
    const work = ways[tokens.push(token) % ways.length]!;
    return {
      work,
      async end() {
        const { client_id: _, ...left } = (await document(`tenants/${tenant}`))!;
        return {
          document: left,
          publication: await document(`publications/${tenant}`),
          plugin: (await root.read(`auth0/roles/${tenant}`))?.data?.['grants'],
          cached: JSON.stringify((await house.stored(tenant, 'reports')) ?? {}).includes(token),
          problems: (await showTenant(operator, tenant)).problems,
        };
      },
    };
  }, 9);
  for (const [at, token] of tokens.entries())
    await expect.poll(() => isActive(token), { message: `narrowing ${at}`, timeout: 3_000 }).toBe(false);
});

test('a tenant whose making was broken off and is repeated is made whole', { timeout: 240_000 }, async () => {
  let number = 0;
  await ofEach(async () => {
    const tenant = `made-${(number += 1)}`;
    return {
      work: () => createTenant(operator, tenant, { grants: GRANTS, publish: ['reports'] }),
      async end() {
        const credential = await credentialOf(tenant);
        const plain = async (path: string): Promise<unknown> => {
          const { client_id: of, ...rest } = (await document(path)) ?? {};
          return { ...rest, mine: of === credential.client_id };
        };
        const announced = (await document('state/epoch'))?.['recent'] as { tenant: string }[];
        const { state, problems } = await showTenant(operator, tenant);
        return {
          document: await plain(`tenants/${tenant}`),
          publication: await plain(`publications/${tenant}`),
          plugin: (await house.root.read(`auth0/roles/${tenant}`))?.data?.['client_id'] === credential.client_id,
          announced: announced.some((one) => one.tenant === tenant),
          state,
          problems,
          exchange: (await exchange(replica, credential, { audience: REPORTS })).status,
        };
      },
    };
  }, 6);
  await expect(createTenant(operator, 'made-1', { grants: GRANTS })).rejects.toMatchObject({ code: 'conflict' });
});

/** What of a stop is still to be done. */
async function leftOver(tenant: string): Promise<Record<string, unknown>> {
  const accessors = await house.root.list(`auth/approle/role/${tenant}/secret-id`);
  // That all is destroyed may be left to be noted by the next `key prune`, which finds nothing to destroy.
  expect([await settleRotations(operator, tenant), await finishRevocations(operator, tenant)]).toEqual([[], []]);
  const unsettled = await Promise.all([ENDINGS_PATH, DEPARTURES_PATH].map((path) => readEndingsAt(operator, path)));
  return {
    credentials: accessors.length,
    unsettled: unsettled.flat().filter((one) => one.tenant === tenant && isUnsettled(one)).length,
    rotations: (await document(rotationsPath(tenant)))?.['rotations'] ?? [],
  };
}

test(
  'a tenant whose stop, or start, was broken off and is repeated is stopped, or started, at every door',
  { timeout: 240_000 },
  async () => {
    let number = 0;
    for (const begin of ['enabled', 'disabled'])
      await ofEach(async () => {
        const tenant = `stopped-${(number += 1)}`;
        await createTenant(operator, tenant, { grants: GRANTS });
        const credential = await credentialOf(tenant);
        const status = async (): Promise<number> => (await exchange(replica, credential, { audience: REPORTS })).status;
        expect(await status()).toBe(200);
        if (begin === 'disabled') {
          await disableTenant(operator, tenant);
          await expect.poll(status, { timeout: 5_000 }).toBe(403);
        }
        return {
          work: () => (begin === 'enabled' ? disableTenant(operator, tenant) : enableTenant(operator, tenant)),
          async end() {
            const { disabled } = (await document('state/epoch')) as { disabled: string[] };
            const { state, problems } = await showTenant(operator, tenant);
            const cached = await house.stored(tenant, 'reports');
            await expect.poll(status, { timeout: 5_000 }).toBe(begin === 'enabled' ? 403 : 200);
            return {
              announced: disabled.includes(tenant),
              plugin: (await house.root.read(`auth0/roles/${tenant}`))?.data?.['disabled'],
              cached: cached === undefined,
              state,
              problems,
            };
          },
        };
      }, 2);
  },
);

test('tokens whose revocation was broken off and is repeated are ended everywhere', { timeout: 240_000 }, async () => {
  let number = 0;
  await ofEach(async () => {
    const tenant = `emptied-${(number += 1)}`;
    await createTenant(operator, tenant, { grants: GRANTS });
    const credential = await credentialOf(tenant);
    const given = async (): Promise<string> =>
      String((await exchange(replica, credential, { audience: REPORTS, scope: 'read' })).body['access_token']);
    const token = await given();
    const service = await house.issueSecret('service');
    return {
      work: () => revokeTokens(operator, tenant),
      async end() {
        await expect.poll(given, { timeout: 5_000 }).not.toBe(token);
        const reply = await fetch(`${replica.issuer}oauth/introspect`, {
          method: 'POST',
          body: new URLSearchParams({ ...service, token }),
        });
        return { ...(await leftOver(tenant)), active: ((await reply.json()) as Record<string, unknown>)['active'] };
      },
    };
  }, 4);
});

const GONE: Directory = {
  membersOf: () => Promise.resolve(new Map()),
  standingOf: () => Promise.resolve('deleted'),
  lost: () => Promise.resolve([]),
};
const ENDS: Readonly<Record<string, (tenant: string, key: IssuedKey) => Promise<unknown>>> = {
  'that is revoked': (tenant, key) => revokeKeys(operator, { tenant, keys: [key.key_id] }),
  'whose owner is gone': (tenant) => syncOwners(operator, { directory: GONE, tenants: [tenant] }),
  'that is rotated without overlap': (tenant, key) =>
    rotateKey(operator, {
      tenant,
      key: key.key_id,
      overlap: 0,
      deliver({ key: text }) {
        registerSecret('api key', text);
        registerSecret('secret_id', ApiKey.parse(text)!.credential.reveal());
      },
    }),
};

test.each(Object.keys(ENDS))('a key %s, broken off and repeated, is gone', { timeout: 240_000 }, async (how) => {
  let number = 0;
  await ofEach(async () => {
    const tenant = `left-${how.split(' ').at(-1)}-${(number += 1)}`;
    await createTenant(operator, tenant, { grants: GRANTS, organization: `org_${tenant.replaceAll('-', '')}` });
    const key = await issueKey(operator, { tenant, owner: `auth0|alice${number}`, scopes: ['read'] });
    registerSecret('api key', key.key);
    const { credential } = ApiKey.parse(key.key)!;
    const client = { client_id: credential.clientId, client_secret: credential.reveal() };
    registerSecret('secret_id', client.client_secret);
    const status = async (): Promise<number> => (await exchange(replica, client, { audience: REPORTS })).status;
    expect(await status()).toBe(200);
    return {
      work: () => ENDS[how]!(tenant, key),
      async end() {
        await expect.poll(status, { timeout: 5_000 }).toBe(401);
        return leftOver(tenant);
      },
    };
  }, 3);
});
