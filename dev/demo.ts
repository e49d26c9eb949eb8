import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { auditEvents, vaultRequests } from './count.ts';
import { Customer, sha256, statusOfReading } from './customer.ts';
import { verify } from './gateway.ts';
import { Interrupted, watchInterrupt } from '#cli/interrupt.ts';
import { abortable } from './abortable.ts';
import { leave } from './leaver.ts';
import { Operator } from './operator.ts';
import { APIS } from './scenario.ts';
import { startStack } from './stack.ts';
import { STOPPING, Story, check, duration, paperOf, reporting } from './story.ts';
import { endAtOnce } from '#tools/process/reaper.ts';
import type { ApiName, TenantName } from './scenario.ts';
import type { Stack } from './stack.ts';
import type { TokenAnswer } from './customer.ts';

/** Within so many milliseconds an announced revocation holds on every broker. */
const REVOKED_WITHIN = 2_000;

/** Everything the chapters share. */
interface Play {
  stack: Stack;
  story: Story;
  operator: Operator;
  customers: Record<TenantName, Customer>;
}

/** Nobody in this story is root: who manages customers comes in through Auth0 and may do just that. */
async function comeIn(stack: Stack, story: Story): Promise<Operator> {
  story.chapter('Olivia, an operator');
  return story.step('logs in to Vault through Auth0 (OIDC)', async () => {
    const { operator, policies } = await Operator.login(stack);
    check(policies.includes('postern-operator') && !policies.includes('root'), `her policies are ${policies.join(', ')}`);
    return { seen: 'policy postern-operator', value: operator };
  });
}

/** Chapter 1, for each customer: a credential in an envelope, two tokens from two issuers, both verified. */
async function becomeCustomer({ stack, story, operator }: Play, customer: Customer): Promise<void> {
  story.chapter(`${customer.name}, a customer`);
  await story.step('gets its secret_id in an envelope that opens once', async () => {
    const { wrapping_token: envelope } = await operator.issueSecret(customer.name);
    await customer.unwrap(envelope);
    const second = await customer.unwrap(envelope).then(
      () => 'opened',
      () => 'refused',
    );
    check(second === 'refused', 'the envelope opened twice');
    return { seen: 'a second opening is refused', value: undefined };
  });
  await story.step('orders: a token from Auth0, by the one shared application', async () => {
    const answer = granted(await customer.token(APIS.orders.audience), 'orders');
    const verified = await verifiedBy(stack, 'orders', answer.token);
    check(verified['iss'] === stack.auth0.issuer, 'the token for orders is not from Auth0');
    check(verified['https://postern.dev/tenant'] === customer.name, `the token for orders is not bound to ${customer.name}`);
    return { seen: `GET /orders 200, bound to ${customer.name}`, value: undefined };
  });
  await story.step('reports: a token from Postern, signed inside Vault', async () => {
    const answer = granted(await customer.token(APIS.reports.audience), 'reports');
    const verified = await verifiedBy(stack, 'reports', answer.token);
    check(verified['iss'] === stack.broker.issuer, 'the token for reports is not from Postern');
    check(verified['https://postern.dev/tenant'] === customer.name, `the token for reports is not bound to ${customer.name}`);
    return { seen: 'GET /reports 200', value: undefined };
  });
}

/** Requests of one run in chapter 2. */
const TIMES = 100;

/** Chapter 2: the second request costs neither Vault nor Auth0 anything. */
async function askAgain(play: Play): Promise<void> {
  const { story, customers } = play;
  story.chapter('Once more');
  const first = granted(await customers.acme.token(APIS.orders.audience), 'orders');
  await story.step(`acme asks ${TIMES} times more for orders: from memory`, async () => {
    let run = await askMany(play, first);
    // Every 30 s the broker has Vault verify the credential anew, by design: a run that this falls into is done again.
    for (let again = 1; run.vaultCalls > 0 && again < 3; again += 1) run = await askMany(play, first);
    check(run.vaultCalls === 0, `Vault was asked ${run.vaultCalls} times`);
    return { seen: `Vault asked 0 times, Auth0 0 times; median ${duration(run.median)}`, value: undefined };
  });
  story.note('Counted by the audit devices of Vault and of the broker, and by the stand-in. Set aside: the');
  story.note("broker's look at state/epoch, once a second whether anybody asks or not.");
}

async function askMany({ stack, customers: { acme, globex } }: Play, first: TokenAnswer): Promise<{ vaultCalls: number; median: number }> {
  const [vaultBefore, auth0Before, eventsBefore] = [
    await vaultRequests(stack.files.vaultAudit),
    stack.auth0.calls.token,
    acme.exchanges + globex.exchanges,
  ];
  const took: number[] = [];
  for (let i = 0; i < TIMES; i += 1) {
    const answer = granted(await acme.token(APIS.orders.audience), 'orders');
    check(answer.token === first.token, 'the second token differs from the first');
    check(answer.expiresIn <= first.expiresIn, 'expires_in grew');
    took.push(answer.milliseconds);
  }
  const vaultCalls = (await vaultRequests(stack.files.vaultAudit)) - vaultBefore;
  const auth0Calls = stack.auth0.calls.token - auth0Before;
  const fresh = (await events(stack, eventsBefore + TIMES)).slice(eventsBefore);
  check(auth0Calls === 0, `Auth0 was asked ${auth0Calls} times`);
  check(
    fresh.length === TIMES && fresh.every(({ source, token_sha256 }) => source === 'memory' && token_sha256 === sha256(first.token)),
    'the audit log does not say source: memory each time',
  );
  return { vaultCalls, median: took.sort((a, b) => a - b)[TIMES / 2] ?? 0 };
}

/** Chapter 3: Vault keeps the two apart, and the broker refuses what was not granted. */
async function keepApart({ stack, story, customers: { acme, globex } }: Play): Promise<void> {
  story.chapter('Kept apart');
  await story.step('acme can not get payroll, for which it has no grant', async () => {
    const answer = await acme.token(APIS.payroll.audience);
    check(answer.status === 403 && answer.error === 'access_denied' && answer.token === '', `answered ${answer.status} ${answer.error}`);
    granted(await globex.token(APIS.payroll.audience), 'payroll');
    return { seen: '403 access_denied; globex can', value: undefined };
  });
  await story.step("acme's token for orders opens no other API", async () => {
    const { token } = granted(await acme.token(APIS.orders.audience), 'orders');
    const { status } = await callService(stack, 'reports', token);
    check(status === 401, `GET /reports answered ${status}`);
    return { seen: 'GET /reports 401', value: undefined };
  });
  await story.step("acme, logged in to Vault itself, can not read globex's tokens", async () => {
    const [own, neighbour] = await Promise.all([acme.loginAtVault(), globex.loginAtVault()]);
    const read = (tenant: string, token: string): Promise<number> =>
      statusOfReading(stack.client, `postern-tokens/data/${tenant}/orders`, token);
    check((await read('acme', own)) === 200, 'acme can not read its own token');
    check((await read('globex', neighbour)) === 200, 'globex can not read its own token');
    check((await read('globex', own)) === 403, "acme was not refused at globex's token");
    check((await statusOfReading(stack.client, 'postern/data/upstream/auth0', own)) === 403, "acme was not refused at Auth0's credential");
    return { seen: 'Vault answers 403; its own it may', value: undefined };
  });
}

/** Chapter 4: one string in a header; the gateway asks, and the service gets a token as ever. */
async function sendKey({ stack, story, operator }: Play): Promise<void> {
  story.chapter('With an API key');
  const { audience, scopes } = APIS.orders;
  await story.step('globex sends one API key; its gateway asks Postern, and hands on a token', async () => {
    const answer = await verify(stack.broker.issuer, { audience, scope: scopes[0], key: await operator.issueKey('globex') });
    check(answer.status === 200 && answer.token !== '', `/verify answered ${answer.status} ${answer.error}`);
    const verified = await verifiedBy(stack, 'orders', answer.token);
    check(verified['https://postern.dev/tenant'] === 'globex', 'the token behind the key is not bound to globex');
    return { seen: '/verify 200, GET /orders 200', value: undefined };
  });
  await story.step('a key of its own that is narrowed to reports opens no orders', async () => {
    const key = await operator.issueKey('globex', { scopes: APIS.reports.scopes });
    const answer = await verify(stack.broker.issuer, { audience, scope: scopes[0], key });
    check(
      answer.status === 403 && answer.error === 'insufficient_scope' && answer.token === '',
      `/verify answered ${answer.status} ${answer.error}`,
    );
    return { seen: '/verify 403 insufficient_scope', value: undefined };
  });
}

/** Chapter 5: a revoked credential stops, its owner gets a new one, nobody else notices. */
async function revoke({ story, operator, customers: { acme, globex } }: Play): Promise<void> {
  story.chapter('Revoked');
  await story.step("acme's secret_id is revoked, and refused by the broker", async () => {
    const start = performance.now();
    const { revoked } = await operator.revokeSecrets('acme');
    check(revoked.length === 1, `${revoked.length} secret_ids were revoked`);
    let answer = await acme.token(APIS.orders.audience);
    while (answer.status === 200 && performance.now() - start < 2 * REVOKED_WITHIN) {
      await sleep(25);
      answer = await acme.token(APIS.orders.audience);
    }
    const took = performance.now() - start;
    check(answer.status === 401 && answer.token === '', `still answered ${answer.status} after ${duration(took)}`);
    check(took <= REVOKED_WITHIN, `it took ${duration(took)}, more than ${duration(REVOKED_WITHIN)}`);
    return { seen: `${answer.status} ${answer.error} after ${duration(took)} (promised: 2 s)`, value: undefined };
  });
  story.note('Destroyed directly in Vault, without the announcement that the CLI makes, it stops when the');
  story.note("broker's memory of it ends: within 30 s. Tokens in customers' hands live until they expire.");
  await story.step('acme gets a new secret_id and is back; globex never noticed', async () => {
    await acme.unwrap((await operator.issueSecret('acme')).wrapping_token);
    granted(await acme.token(APIS.orders.audience), 'orders');
    granted(await globex.token(APIS.reports.audience), 'reports');
    return { seen: '', value: undefined };
  });
}

function granted(answer: TokenAnswer, api: ApiName): TokenAnswer {
  check(
    answer.status === 200 && answer.token !== '',
    `the token for ${api} was refused: ${answer.status} ${answer.error} ${answer.description}`,
  );
  check(answer.expiresIn > 0 && answer.expiresIn <= APIS[api].lifetime, `expires_in for ${api} is ${answer.expiresIn}`);
  return answer;
}

async function callService(
  stack: Stack,
  api: ApiName,
  token: string,
): Promise<{ status: number; body: { verified?: Record<string, unknown> } }> {
  const response = await fetch(`${stack.service.address}/${api}`, {
    headers: { Authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(10_000),
  });
  return { status: response.status, body: (await response.json()) as { verified?: Record<string, unknown> } };
}

/** What Auth0's own verifier took out of a token that it accepted. */
async function verifiedBy(stack: Stack, api: ApiName, token: string): Promise<Record<string, unknown>> {
  const { status, body } = await callService(stack, api, token);
  check(status === 200 && body.verified !== undefined, `GET /${api} answered ${status}`);
  check(body.verified['aud'] === APIS[api].audience, `GET /${api} saw another audience`);
  return body.verified;
}

/** At least so many events: the broker writes its audit log in batches, so the last may come a moment late. */
async function events(stack: Stack, least: number): ReturnType<typeof auditEvents> {
  for (let i = 0; ; i += 1) {
    const now = await auditEvents(stack.files.brokerLog);
    if (now.length >= least || i === 80) return now;
    await sleep(25);
  }
}

/**
 * The whole story on a stack of its own, which is gone afterwards.
 * @returns the process's exit code: 0 when all was as told, 1 when not, 130 or so when interrupted
 */
export async function runDemo(options: { json?: boolean } = {}): Promise<number> {
  const paper = paperOf(process.stdout);
  using interrupt = watchInterrupt({ told: () => paper.remark(STOPPING), again: endAtOnce });
  const story = new Story(options.json ? undefined : paper);
  let failure: unknown;
  let pids: Record<string, number> = {};
  try {
    story.chapter('The embedded default');
    await using stack = await startStack({
      report: reporting(paper),
      onStep: (step, seconds) => story.told(step, '', seconds * 1_000),
      signal: interrupt.signal,
      logFolder: process.env['POSTERN_TEST_LOGS'],
    });
    pids = { vault: stack.vault.pid, broker: stack.broker.child.pid };
    const customer = (name: TenantName): Customer =>
      new Customer({ name, roleId: stack.roleIds[name], issuer: stack.broker.issuer, vault: stack.client });
    await abortable(interrupt.signal, async () => {
      const play: Play = {
        stack,
        story,
        operator: await comeIn(stack, story),
        customers: { acme: customer('acme'), globex: customer('globex') },
      };
      await becomeCustomer(play, play.customers.acme);
      await becomeCustomer(play, play.customers.globex);
      await askAgain(play);
      await keepApart(play);
      await sendKey(play);
      await revoke(play);
      await leave(play);
    });
  } catch (error) {
    failure = error;
  }
  const seconds = performance.now() / 1_000; // since this process began
  const interrupted = failure instanceof Interrupted || interrupt.exitCode !== 0;
  if (options.json) {
    const error = failure === undefined ? undefined : (failure as Error).message;
    process.stdout.write(`${JSON.stringify({ ok: failure === undefined, seconds, pids, steps: story.steps, error }, null, 2)}\n`);
  } else if (failure === undefined) {
    process.stdout.write(
      [
        '',
        `All as told, in ${duration(seconds * 1_000)}. Vault, broker and files are gone again. To keep the same running:`,
        '',
        '  make dev',
        '',
        'It prints addresses, credentials, API keys and lines to paste, such as this token for acme, from another terminal here:',
        '',
        '  . .postern/dev/env',
        '  curl -s $POSTERN_URL/oauth/token -d @.postern/dev/acme.form -d audience=https://orders.example.com',
        '',
      ].join('\n'),
    );
  } else if (!interrupted) {
    const told = story.steps.at(-1)?.ok === false;
    process.stderr.write(`${told ? 'Not as told; the rest was left out.' : (failure as Error).message}\n`);
  }
  return interrupted ? interrupt.exitCode : failure === undefined ? 0 : 1;
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } });
  process.exit(await runDemo({ json: values.json }));
}
