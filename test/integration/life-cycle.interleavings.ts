import { setTimeout as sleep } from 'node:timers/promises';
import { decodeJwt } from 'jose';
import fc from 'fast-check';
import { VaultToken } from '#broker/credential/identity.ts';
import { VaultAccess } from '#broker/operator/access.ts';
import { revokeSecretId } from '#broker/operator/secret/revoke.ts';
import { issueSecretId } from '#broker/operator/secret/issue.ts';
import { createTenant } from '#broker/operator/tenant/create.ts';
import { deleteTenant } from '#broker/operator/tenant/delete.ts';
import { disableTenant, enableTenant } from '#broker/operator/tenant/disable.ts';
import { revokeTokens } from '#broker/operator/tenant/revoke-tokens.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, LocalReplica } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';

/*
 * Random interleavings of events and exchanges, each of a tenant of its own, many at once: while operators disable, enable, narrow,
 * revoke and delete, exchanges by every credential go on, some of them waiting for a slow Auth0. Afterwards each token is held against
 * what was true when it came.
 */

const TENANT_CLAIM = 'https://postern.dev/tenant';
const VAULT_TOKEN = 'urn:postern:params:oauth:token-type:vault-token';
const APIS = {
  reports: { audience: 'https://reports.example.com', source: 'transit' as const, scopes: ['read', 'write'] },
  orders: { audience: 'https://orders.example.com', source: 'auth0' as const, scopes: ['read', 'write'] },
};
type Api = keyof typeof APIS;
/** After an event every replica has heard of it; ms. */
const HEARD = 2_000;

export interface Outcome {
  runs: number;
  exchanges: number;
  granted: number;
  /** Tokens to whom they should not have gone, in words. */
  wrong: string[];
}

/** What the operators did, as far as it must show: since when something is over, ms; Infinity: it isn't. */
interface Model {
  deleted: number;
  disabled: number;
  narrowed: number;
  /** By credential. */
  revoked: number[];
  /** Vault tokens by credential, void since. */
  loginsVoid: number;
}

interface Attempt {
  what: string;
  credential: number;
  byVaultToken: boolean;
  wide: boolean;
  api: Api;
  /** Of the request's end. */
  at: number;
  token: string | undefined;
}

class Run {
  readonly attempts: Promise<Attempt>[] = [];
  /** Each change of the model: from when on it holds for everybody. */
  readonly history: { at: number; model: Model }[] = [];
  readonly model: Model = {
    deleted: Infinity,
    disabled: Infinity,
    narrowed: Infinity,
    revoked: [Infinity, Infinity],
    loginsVoid: Infinity,
  };

  readonly world: World;
  readonly tenant: string;
  readonly credentials: readonly Credential[];
  readonly logins: readonly string[];

  constructor({ world, tenant, credentials, logins }: Pick<Run, 'world' | 'tenant' | 'credentials' | 'logins'>) {
    ({
      world: this.world,
      tenant: this.tenant,
      credentials: this.credentials,
      logins: this.logins,
    } = { world, tenant, credentials, logins });
  }

  note(change: Partial<Model>): void {
    Object.assign(this.model, change);
    this.history.push({ at: performance.now(), model: structuredClone(this.model) });
  }
}

interface World {
  house: House;
  replicas: readonly LocalReplica[];
  operator: VaultAccess;
  client: VaultClient;
}

type Step = fc.AsyncCommand<Record<string, never>, Run>;
const step = (name: string, run: (run: Run) => Promise<void>): Step => ({
  check: () => true,
  run: (_model, real) => run(real),
  toString: () => name,
});

const tries = (replica: number, credential: number, byVaultToken: boolean, api: Api): Step =>
  step(`try ${credential}${byVaultToken ? ' by Vault token' : ''} at ${api} on ${replica}`, async (run) => {
    const { replicas } = run.world;
    const parameters = byVaultToken
      ? {
          grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
          subject_token: run.logins[credential]!,
          subject_token_type: VAULT_TOKEN,
          audience: APIS[api].audience,
        }
      : { audience: APIS[api].audience };
    run.attempts.push(
      exchange(replicas[replica]!, byVaultToken ? {} : run.credentials[credential]!, parameters).then(({ body }) => {
        const token = body['access_token'] as string | undefined;
        const wide = token !== undefined && decodeJwt(token)['scope'] === 'read write';
        return {
          what: `${api} by ${credential}${byVaultToken ? "'s Vault token" : ''}`,
          credential,
          byVaultToken,
          wide,
          api,
          at: performance.now(),
          token,
        };
      }),
    );
    // It goes on while the next step is done.
    await sleep(20);
  });
const events = {
  disable: step('disable', async (run) => {
    if (run.model.deleted < Infinity) return;
    await disableTenant(run.world.operator, run.tenant);
    // The call itself waits until everybody has heard.
    run.note({ disabled: performance.now() });
  }),
  enable: step('enable', async (run) => {
    if (run.model.deleted < Infinity || run.model.disabled === Infinity) return;
    run.note({ disabled: Infinity });
    await enableTenant(run.world.operator, run.tenant);
  }),
  narrow: step('narrow', async (run) => {
    if (run.model.deleted < Infinity || run.model.narrowed < Infinity) return;
    const grants = Object.keys(APIS).map((api) => ({ api, scopes: ['read'] }));
    await createTenant(run.world.operator, run.tenant, { grants }, { update: true, replace: true });
    run.note({ narrowed: performance.now() });
  }),
  revoke: (credential: number) =>
    step(`revoke ${credential}`, async (run) => {
      if (run.model.deleted < Infinity) return;
      await revokeSecretId(run.world.operator, { tenant: run.tenant, accessors: [run.credentials[credential]!.accessor] });
      run.note({ revoked: run.model.revoked.map((at, index) => (index === credential ? Math.min(at, performance.now() + HEARD) : at)) });
    }),
  revokeTokens: step('revoke tokens', async (run) => {
    if (run.model.deleted < Infinity) return;
    await revokeTokens(run.world.operator, run.tenant);
    run.note({ loginsVoid: Math.min(run.model.loginsVoid, performance.now() + HEARD) });
  }),
  remove: step('delete', async (run) => {
    if (run.model.deleted < Infinity) return;
    await deleteTenant(run.world.operator, run.tenant);
    run.note({ deleted: performance.now() });
  }),
  wait: step('wait', () => sleep(700)),
};

function commands(replicas: number) {
  const attempt = fc
    .tuple(fc.nat(replicas - 1), fc.nat(1), fc.boolean(), fc.constantFrom<Api[]>('reports', 'orders'))
    .map((chosen) => tries(...chosen));
  const event = fc.oneof(
    ...[
      events.disable,
      events.enable,
      events.narrow,
      events.revoke(0),
      events.revoke(1),
      events.revokeTokens,
      events.remove,
      events.wait,
    ].map((one) => fc.constant(one)),
  );
  return fc.commands([fc.oneof({ arbitrary: attempt, weight: 4 }, { arbitrary: event, weight: 1 })], { maxCommands: 16, size: 'max' });
}

/** @param runs interleavings in all. @param atOnce as many run at the same time */
export async function interleave(options: { runs: number; atOnce: number; seed?: number; replicas?: number }): Promise<Outcome> {
  const { runs, atOnce, seed = 1, replicas: count = 3 } = options;
  await using house = await startHouse({ apis: APIS, tenants: {} });
  const env = { POSTERN_THROTTLE_ADDRESS: '1000000', POSTERN_THROTTLE_CLIENT: '1000000' };
  const replicas = await Promise.all(Array.from({ length: count }, () => house.startReplica({ env })));
  const client = new VaultClient({ address: house.vault.address, timeoutMs: 30_000 });
  const operator = new VaultAccess({ client, token: new VaultToken(await vaultToken(house, 'postern-operator')) });
  const world: World = { house, replicas, operator, client };
  // Each exchange at Auth0 waits: long enough for an event to come in between.
  house.auth0.faults.set({ kind: 'delay', milliseconds: 1_200 }, { endpoint: 'token' });
  const outcome: Outcome = { runs: 0, exchanges: 0, granted: 0, wrong: [] };
  let next = 0;
  const one = async (steps: Iterable<Step>): Promise<void> => {
    const run = await begin(world, `t${next++}`);
    await fc.asyncModelRun(() => ({ model: {}, real: run }), steps);
    await sleep(HEARD);
    // Once more by everything, when nobody can say that he has not heard.
    for (const credential of [0, 1])
      for (const byVaultToken of [false, true]) await tries(0, credential, byVaultToken, 'reports').run({}, run);
    judge(run, await Promise.all(run.attempts), outcome);
  };
  try {
    await Promise.all(
      Array.from({ length: atOnce }, (_, worker) =>
        fc.assert(fc.asyncProperty(commands(count), one), {
          numRuns: Math.ceil(runs / atOnce),
          seed: seed + worker,
          endOnFailure: true,
        }),
      ),
    );
  } finally {
    await client.close();
  }
  return outcome;
}

async function begin(world: World, tenant: string): Promise<Run> {
  const { operator, client } = world;
  const grants = Object.keys(APIS).map((api) => ({ api, scopes: ['read', 'write'] }));
  await createTenant(operator, tenant, { grants });
  const credentials = await Promise.all(
    [0, 1].map(async () => {
      const { role_id: client_id, secret_id: client_secret = '', accessor } = await issueSecretId(operator, { tenant, wrap: false });
      registerSecret('secret_id', client_secret);
      return { client_id, client_secret, accessor: accessor ?? '' };
    }),
  );
  const logins = await Promise.all(
    credentials.map(async ({ client_id, client_secret }) => {
      const { auth } = await client.write('auth/approle/login', { role_id: client_id, secret_id: client_secret });
      registerSecret('Vault token', String(auth?.['client_token']));
      return String(auth?.['client_token']);
    }),
  );
  return new Run({ world, tenant, credentials, logins });
}

/** What held for everybody when the answer came; half a second of this machine's own slowness is nobody's fault. */
function judge(run: Run, attempts: readonly Attempt[], outcome: Outcome): void {
  outcome.runs++;
  outcome.exchanges += attempts.length;
  for (const { what, credential, byVaultToken, wide, at, token } of attempts) {
    if (token === undefined) continue;
    outcome.granted++;
    registerSecret('access token', token);
    const { model } = run.history.findLast((entry) => entry.at <= at) ?? { model: undefined };
    const over = (since: number): boolean => since <= at;
    const reasons = [
      ...(decodeJwt(token)[TENANT_CLAIM] === run.tenant ? [] : ['it is of another tenant']),
      ...(model === undefined
        ? []
        : [
            ...(over(model.deleted) ? ['the tenant was deleted'] : []),
            ...(over(model.disabled) ? ['the tenant was disabled'] : []),
            ...(over(model.revoked[credential]!) ? ['the credential was revoked'] : []),
            ...(over(model.narrowed) && wide ? ['the grant was narrowed'] : []),
            ...(byVaultToken && over(model.loginsVoid) ? ['the tokens of the tenant were revoked'] : []),
          ]),
    ];
    for (const reason of reasons) outcome.wrong.push(`${run.tenant}: ${what}, though ${reason}`);
  }
}
