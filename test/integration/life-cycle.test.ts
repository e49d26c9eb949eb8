import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { issuerId } from '#broker/credential/trust.ts';
import { announceDepartures, ownAnnouncer } from '#broker/operator/departure.ts';
import type { Directory } from '#broker/credential/directory.ts';
import { syncOwners } from '#broker/operator/owner/sync.ts';
import { revokeKeys } from '#broker/operator/key/revoke.ts';
import { revokeSecretId } from '#broker/operator/secret/revoke.ts';
import { createTenant } from '#broker/operator/tenant/create.ts';
import { deleteTenant } from '#broker/operator/tenant/delete.ts';
import { disableTenant, enableTenant } from '#broker/operator/tenant/disable.ts';
import { revokeTokens } from '#broker/operator/tenant/revoke-tokens.ts';
import { addTrust } from '#broker/operator/trust/add.ts';
import { removeTrust } from '#broker/operator/trust/remove.ts';
import { checkout } from '#tools/part/version.ts';
import { DOORS, Stage, trustOf } from './life-cycle.stage.ts';
import type { Door, Subject } from './life-cycle.stage.ts';

/*
 * What ends, ends everywhere: events × doors, on three replicas, a real Vault and the plugin. Each cell is refused within 2 s of the
 * event, or stands here as an exception with its bound. docs/revocation.md holds the same table.
 */

/**
 * `soon`: gives nothing within 5 s, since a broker has to look first and then to write. `shut`: gives nothing. `other`: gives another token than before. A text: an exception, and what bounds it. Left out: it isn't concerned.
 */
type Cell = 'shut' | 'soon' | 'other' | `exception: ${string}`;
const UNDER_WAY = 'exchange under way';
type Column = Door | typeof UNDER_WAY;

interface Event {
  readonly tenant: string;
  readonly subject?: Parameters<Stage['subject']>[1];
  readonly cells: Partial<Record<Column, Cell>>;
  /** By what the exchange that is under way was begun. */
  readonly underWayBy?: 'secret' | 'assertion' | 'trust';
  readonly happen: (stage: Stage, subject: Subject) => Promise<unknown>;
}

function without(cells: Event['cells'], ...doors: Column[]): Event['cells'] {
  return Object.fromEntries(Object.entries(cells).filter(([door]) => !doors.includes(door as Column)));
}

const EVERYWHERE: Record<Column, 'shut'> = Object.fromEntries([...DOORS, UNDER_WAY].map((door) => [door, 'shut'])) as Record<
  Column,
  'shut'
>;
const OF_A_CREDENTIAL = {
  'token endpoint': 'shut',
  'token exchange, login from before': 'shut',
  'token exchange, login from after': 'shut',
  'introspection by the tenant': 'shut',
  'introspection by a service': 'exception: its tenant holds the token by other credentials, too: `token revoke`',
  'plugin, login from before': 'exception: until that login ends, `token_ttl`',
  'plugin, login from after': 'shut',
  'shared cache, login from before': 'exception: until that login ends, `token_ttl`',
  'published, login from before': 'exception: until that login ends, `token_ttl`',
  [UNDER_WAY]: 'shut',
} satisfies Event['cells'];
const NOT_COUNTED = 'exception: limits are of the token endpoint and `/verify`; those of reads at Vault are its quotas';

function ofEach(doors: readonly Door[], cell: Cell): Event['cells'] {
  return Object.fromEntries(doors.map((door) => [door, cell]));
}

const catalogChanged = (stage: Stage): Promise<unknown> =>
  stage.house.root.write('postern/data/state/catalog', { data: { digest: String(Math.random()), disabled: [] } });

const EVENTS: Readonly<Record<string, Event>> = {
  'tenant disabled': { tenant: 'e-disabled', cells: EVERYWHERE, happen: ({ operator }, { tenant }) => disableTenant(operator, tenant) },
  'tenant retired (Terraform)': {
    tenant: 'e-retired',
    cells: {
      ...EVERYWHERE,
      'shared cache, login from before': 'exception: until that login ends, `token_ttl`',
      'published, login from before': 'soon',
    },
    // What an apply writes, last of all who is disabled: test/integration/terraform.test.ts has the apply.
    async happen({ house: { root } }, { tenant }) {
      for (const path of [`postern/data/tenants/${tenant}`, `postern/data/publications/${tenant}`]) {
        const { data } = (await root.read(path))!.data as { data: object };
        await root.write(path, { data: { ...data, disabled: true } });
      }
      await root.write(`auth/approle/role/${tenant}/token-bound-cidrs`, { token_bound_cidrs: ['240.0.0.0'] });
      await root.write(`auth0/roles/${tenant}`, { disabled: true });
      await root.write('postern/data/state/catalog', { data: { digest: String(Math.random()), disabled: [tenant] } });
    },
  },
  'tenant deleted': { tenant: 'e-deleted', cells: EVERYWHERE, happen: ({ operator }, { tenant }) => deleteTenant(operator, tenant) },
  'tenant deleted and made again under its name': {
    tenant: 'e-again',
    cells: {
      ...without(EVERYWHERE, 'admin API'),
      'shared cache, login from before': 'exception: only with --force, until that login ends, `token_ttl`',
    },
    async happen(stage, { tenant }) {
      await deleteTenant(stage.operator, tenant);
      const grants = (['reports', 'orders'] as const).map((api) => ({ api, scopes: ['read'] }));
      await expect(createTenant(stage.operator, tenant, { grants })).rejects.toMatchObject({ code: 'conflict' });
      await createTenant(stage.operator, tenant, { grants }, { force: true });
      // The new one has a token of its own in the shared cache.
      const deadline = performance.now() + 2_000;
      while (!(await stage.subject(tenant)).token.startsWith('ey') && performance.now() < deadline) await sleep(100);
      expect((await stage.subject(tenant)).token).toMatch(/^ey/);
    },
  },
  'secret_id revoked': {
    tenant: 'e-secret',
    cells: OF_A_CREDENTIAL,
    happen: ({ operator }, { tenant, credential }) => revokeSecretId(operator, { tenant, accessors: [credential.accessor] }),
  },
  'API key revoked': {
    tenant: 'e-key',
    subject: { byKey: true },
    cells: { ...OF_A_CREDENTIAL, '/verify': 'shut', 'admin API': 'shut' },
    happen: ({ operator }, { tenant, keyId }) => revokeKeys(operator, { tenant, keys: [keyId] }),
  },
  "person's key revoked by its owner": {
    tenant: 'e-person-key',
    subject: { byKey: true, owner: 'auth0|e-person-key' },
    cells: { ...OF_A_CREDENTIAL, '/verify': 'shut', 'introspection by a service': 'shut', 'admin API': 'shut' },
    async happen(stage, { tenant, keyId }) {
      // As the self-service API: the person's Vault token destroys it, and the broker tells the others.
      const announcer = ownAnnouncer((work) => stage.asBroker(work), Date.now);
      await revokeKeys(stage.withAnnouncer(announcer), { tenant, keys: [keyId] });
    },
  },
  "a key's owner left (log stream)": {
    tenant: 'e-person-left',
    subject: { byKey: true, owner: 'auth0|e-person-left' },
    cells: {
      ...OF_A_CREDENTIAL,
      '/verify': 'shut',
      'introspection by a service': 'shut',
      'plugin, login from after': 'exception: until `postern owners sync` destroys the key at Vault',
    },
    happen: (stage) =>
      stage.asBroker((access) =>
        announceDepartures(access, { knownAt: () => undefined }, [{ owner: 'auth0|e-person-left', at: Math.ceil(Date.now() / 1000) }]),
      ),
  },
  "a key's owner left (`postern owners sync`)": {
    tenant: 'e-person-gone',
    subject: { byKey: true, owner: 'auth0|e-person-gone' },
    cells: { ...OF_A_CREDENTIAL, '/verify': 'shut', 'introspection by a service': 'shut' },
    async happen({ operator }, { tenant }) {
      const directory: Directory = { standingOf: async () => 'deleted', membersOf: async () => new Map(), lost: async () => [] };
      const { gone } = await syncOwners(operator, { directory, tenants: [tenant] });
      expect(gone).toMatchObject([{ owner: 'auth0|e-person-gone', why: 'deleted' }]);
    },
  },
  'API key ended': {
    tenant: 'e-ended',
    subject: { byKey: true, ends: 12 },
    cells: {
      ...without(OF_A_CREDENTIAL, UNDER_WAY),
      '/verify': 'shut',
      'admin API': 'shut',
      'plugin, login from after': 'exception: until Vault has tidied the ended secret_id away, about a minute, and that login ends',
    },
    happen: () => sleep(12_000),
  },
  'grant narrowed': {
    tenant: 'e-narrowed',
    cells: { ...EVERYWHERE },
    happen: ({ operator }, { tenant }) => createTenant(operator, tenant, { grants: [], defaultApi: null }, { update: true, replace: true }),
  },
  'limit lowered': {
    tenant: 'e-limited',
    cells: {
      ...ofEach(['plugin, login from before', 'plugin, login from after', 'shared cache, login from before'], NOT_COUNTED),
      ...ofEach(['published, login from before', 'introspection by the tenant'], NOT_COUNTED),
      ...ofEach(['token endpoint', 'private_key_jwt', 'keyless', '/verify'], 'shut'),
      ...ofEach(['token exchange, login from before', 'token exchange, login from after'], 'shut'),
    },
    // To as many as were asked for since, or fewer: whichever door is asked, all count together.
    happen: ({ operator }, { tenant }) => createTenant(operator, tenant, { limits: { per_day: 1 } }, { update: true }),
  },
  'API removed (Terraform)': {
    tenant: 'e-api',
    subject: { quick: 'gone', slow: 'goneslow' },
    cells: {
      ...without(EVERYWHERE, 'plugin, login from before', 'plugin, login from after'),
      'shared cache, login from before': "exception: until the token's end; introspection says inactive",
      'published, login from before': 'soon',
    },
    async happen(stage) {
      for (const api of ['gone', 'goneslow']) await stage.house.root.delete(`postern/metadata/apis/${api}`);
      await catalogChanged(stage);
    },
  },
  'registered key removed (Terraform)': {
    tenant: 'e-registered',
    cells: { private_key_jwt: 'shut', [UNDER_WAY]: 'shut' },
    underWayBy: 'assertion',
    async happen(stage, { credential }) {
      await stage.house.root.delete(`postern/metadata/assertions/${credential.client_id}`);
      await catalogChanged(stage);
    },
  },
  'trust removed': {
    tenant: 'e-trust',
    cells: { keyless: 'shut', [UNDER_WAY]: 'shut' },
    underWayBy: 'trust',
    happen: ({ operator }, { tenant }) => removeTrust(operator, tenant, 'ci'),
  },
  'trust narrowed': {
    tenant: 'e-narrow-trust',
    cells: { keyless: 'shut', [UNDER_WAY]: 'shut' },
    underWayBy: 'trust',
    happen: ({ operator }, { tenant }) =>
      addTrust(operator, { tenant, name: 'ci', ...trustOf(tenant), claims: { environment: 'production' }, replace: true }),
  },
  'issuer removed (Terraform)': {
    tenant: 'e-issuer',
    cells: { keyless: 'shut', [UNDER_WAY]: 'shut' },
    underWayBy: 'trust',
    async happen(stage, { tenant }) {
      await stage.house.root.delete(`sys/auth/postern-trust/${tenant}/${issuerId(trustOf(tenant).issuer)}`);
      await catalogChanged(stage);
    },
  },
  'token revoked by its tenant': {
    tenant: 'e-token',
    cells: {
      'token endpoint': 'other',
      private_key_jwt: 'other',
      keyless: 'other',
      'token exchange, login from before': 'other',
      'token exchange, login from after': 'other',
      '/verify': 'other',
      'introspection by the tenant': 'shut',
      'introspection by a service': 'shut',
      'shared cache, login from before': 'other',
    },
    happen: (stage, subject) => stage.revoke(subject),
  },
  'tokens revoked by an operator': {
    tenant: 'e-tokens',
    cells: {
      'token endpoint': 'other',
      private_key_jwt: 'other',
      keyless: 'other',
      'token exchange, login from before': 'shut',
      'token exchange, login from after': 'other',
      '/verify': 'other',
      'introspection by the tenant': 'shut',
      'introspection by a service': 'shut',
      'shared cache, login from before': 'other',
      'published, login from before': 'other',
    },
    happen: ({ operator }, { tenant }) => revokeTokens(operator, tenant),
  },
};

let stage: Stage;
const RESTORED = ['r-disabled', 'r-secret'];
beforeAll(async () => {
  stage = await Stage.start([...Object.values(EVENTS).map(({ tenant }) => tenant), ...RESTORED]);
}, 240_000);
afterAll(() => stage?.stop());

type Tried = 'shut' | 'soon' | 'other';
const WITHIN: Readonly<Record<Tried, number>> = { shut: 2_000, other: 2_000, soon: 5_000 };
const isTried = (cell: Cell | undefined): cell is Tried => cell !== undefined && Object.hasOwn(WITHIN, cell);

/**
 * @returns ms after `since` at which somebody began to ask who was given it all the same, the last of them; 0: nobody. An answer itself may
 * take its time. The next who asked did so later, by as much as lies between two tries, which is the test's own doing.
 */
async function shutAfter(door: Door, subject: Subject, cell: Tried, since: number): Promise<number> {
  const isShut = (given: readonly (string | undefined)[]): boolean =>
    given.every((one) => (cell === 'other' ? one !== subject.token && one !== subject.published : one === undefined));
  const tries: { readonly begun: number; readonly shut: Promise<boolean> }[] = [];
  for (;;) {
    const shut = stage.doors[door](subject).then(isShut);
    tries.push({ begun: performance.now(), shut });
    // A replica may keep its client waiting for a new token while another still has the old one: the next try doesn't wait for that.
    // Nor does it pile up on a busy machine: each waits longer than the one before.
    const now = await Promise.race([shut, sleep(Math.min(100 * tries.length, 3_000), undefined)]);
    if (now === true) {
      const all = await Promise.all(tries.map((one) => one.shut));
      const last = tries[all.lastIndexOf(false)];
      return last === undefined ? 0 : last.begun - since;
    }
    if (performance.now() - since > 20_000) return Infinity;
    if (now === false) await sleep(50);
  }
}

describe.each(Object.entries(EVENTS))('%s', (name, event) => {
  test('reaches every door', async () => {
    const subject = await stage.subject(event.tenant, event.subject);
    for (const door of DOORS) {
      if (event.cells[door] === undefined) continue;
      const given = await stage.doors[door](subject);
      expect(given.length, `${door} before ${name}`).toBeGreaterThan(0);
      expect(
        given.filter((one) => one === undefined),
        `${door} before ${name}`,
      ).toEqual([]);
    }
    const waits = event.cells[UNDER_WAY] === 'shut';
    if (waits) stage.house.auth0.faults.set({ kind: 'delay', milliseconds: 3_500 }, { endpoint: 'token' });
    const underWay = waits ? stage.underWay(subject, event.underWayBy ?? 'secret') : undefined;
    if (waits) await sleep(500);
    const happening = event.happen(stage, subject);
    // A tenant that is stopped is announced first, and waited for: its event is over when the call returns.
    await happening;
    const since = performance.now();
    const measured = await Promise.all(
      DOORS.flatMap((door) => {
        const cell = event.cells[door];
        return isTried(cell) ? [shutAfter(door, subject, cell, since).then((ms) => [door, Math.round(ms), WITHIN[cell]] as const)] : [];
      }),
    );
    console.log(`${name}: ${measured.map(([door, ms]) => `${door} ${ms} ms`).join(', ')}`);
    expect(measured.filter(([, ms, within]) => ms > within)).toEqual([]);
    if (underWay !== undefined) expect(await underWay, `${UNDER_WAY}: ${name}`).toEqual([undefined, undefined, undefined]);
    stage.house.auth0.faults.clear();
    // Shut for good.
    for (const [door] of measured)
      expect(await shutAfter(door, subject, event.cells[door] as Tried, performance.now()), door).toBeLessThan(1_000);
  }, 90_000);
});

test('a tenant that is enabled again goes on at every door within 2 s, and is published again within 5 s', async () => {
  const subject = await stage.subject('r-disabled');
  await stage.doors['plugin, login from before'](subject);
  await disableTenant(stage.operator, subject.tenant);
  await enableTenant(stage.operator, subject.tenant);
  const since = performance.now();
  for (const door of DOORS) {
    for (;;) {
      const given = await stage.doors[door](subject);
      if (given.length > 0 && given.every((one) => one !== undefined)) break;
      if (performance.now() - since > (door.startsWith('published') ? 5_000 : 2_000))
        expect.fail(`${door} gives nothing ${Math.round(performance.now() - since)} ms after tenant enable`);
      await sleep(20);
    }
  }
});

test('Vault restored from a snapshot: what the replicas know as ended stays ended, and a later announcement counts', async () => {
  const { house, operator, replicas } = stage;
  const subjects = [await stage.subject('r-disabled'), await stage.subject('r-secret')] as const;
  const snapshot = await fetch(`${house.vault.address}/v1/sys/storage/raft/snapshot`, {
    headers: { 'X-Vault-Token': house.vault.rootToken },
  });
  const taken = Buffer.from(await snapshot.arrayBuffer());
  await disableTenant(operator, 'r-disabled');
  await revokeSecretId(operator, { tenant: 'r-secret', accessors: [subjects[1].credential.accessor] });
  await sleep(2_000);
  const restored = await fetch(`${house.vault.address}/v1/sys/storage/raft/snapshot-force`, {
    method: 'POST',
    headers: { 'X-Vault-Token': house.vault.rootToken },
    body: taken,
  });
  expect(restored.status).toBe(204);
  const doors = [
    'token endpoint',
    'token exchange, login from before',
    'token exchange, login from after',
    'introspection by the tenant',
  ] as const;
  const warned = async (): Promise<boolean> => {
    const answers = await Promise.all(replicas.map(async ({ issuer }) => fetch(new URL('readyz', issuer))));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    const bodies = (await Promise.all(answers.map((answer) => answer.json()))) as { warnings?: string[] }[];
    return bodies.every(({ warnings = [] }) => warnings[0]?.includes('restored') === true);
  };
  // Vault takes its time to serve again. From then on 3 s more, while everything could be verified anew.
  let tries = 0;
  let until = performance.now() + 60_000;
  for (let said = false; performance.now() < until;) {
    for (const door of doors)
      for (const subject of subjects) {
        expect(
          (await stage.doors[door](subject)).filter((one) => one !== undefined),
          `${door} of ${subject.tenant} after the restore`,
        ).toEqual([]);
        tries++;
      }
    if (!said && (await warned())) {
      said = true;
      until = performance.now() + 3_000;
    }
    await sleep(100);
  }
  console.log(`Vault restored: ${tries} tries on three replicas, 0 let through`);
  expect(await warned()).toBe(true);
  // Numbers are used again: an announcement on the restored state reaches everybody all the same.
  const other = await stage.subject('e-token').catch(() => undefined);
  expect(other).toBeDefined();
  await disableTenant(operator, 'e-token');
  expect(await shutAfter('token endpoint', other!, 'shut', performance.now())).toBeLessThan(2_000);
  await enableTenant(operator, 'r-disabled');
  const again = performance.now();
  while ((await stage.doors['token endpoint'](subjects[0])).includes(undefined) && performance.now() - again < 5_000) await sleep(50);
  expect(performance.now() - again).toBeLessThan(2_000);
}, 120_000);

test('docs/revocation.md holds this table', async () => {
  const text = await readFile(join(checkout, 'docs/revocation.md'), 'utf8');
  const table = tableOf(EVENTS);
  const inDocs = /<!-- events and doors -->\n([\s\S]*?)\n<!-- end -->/.exec(text)?.[1];
  if (inDocs !== table) console.log(table);
  expect(inDocs).toBe(table);
});

/** One row an event; what doesn't fit into a cell stands below. */
function tableOf(events: Readonly<Record<string, Event>>): string {
  const columns = [...DOORS, UNDER_WAY] as const;
  const notes: string[] = [];
  const textOf = (cell: Cell | undefined): string => {
    if (cell === undefined) return '–';
    if (cell === 'shut') return '≤ 2 s';
    if (cell === 'soon') return '≤ 5 s';
    if (cell === 'other') return '≤ 2 s, another token';
    const note = cell.replace('exception: ', '');
    if (!notes.includes(note)) notes.push(note);
    return `(${notes.indexOf(note) + 1})`;
  };
  const names = Object.keys(events);
  const rows = columns.map((door) => `| ${door} | ${names.map((name) => textOf(events[name]!.cells[door])).join(' | ')} |`);
  return [
    `| door | ${names.join(' | ')} |`,
    `| --- | ${names.map(() => '---').join(' | ')} |`,
    ...rows,
    '',
    ...notes.map((note, at) => `${at + 1}. ${note}`),
  ].join('\n');
}
