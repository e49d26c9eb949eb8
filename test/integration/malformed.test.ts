import { readFile, readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { Pool } from 'undici';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ANYWAY } from '#dev/count.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, ProcessReplica, Reply } from '#test/fixture/broker.ts';
import { LIVEZ, sendBytes } from '#test/fixture/wire.ts';
import type { WireOutcome, WireReply } from '#test/fixture/wire.ts';
import type { Attempt } from './malformed.requests.ts';
import { damagedRequests, formOf, goodPairs, malformedRequests, wholeRequest, wrongRequests } from './malformed.requests.ts';

const AUDIENCE = 'https://reports.example.com';
/** Requests sent at once. */
const AT_ONCE = 25;
const MALFORMED = 10_000;
const SEED = Number(process.env['POSTERN_TEST_SEED'] ?? Date.now() % 1_000_000_007);

let house: House;
let broker: ProcessReplica;
let port: number;
let pool: Pool;
let acme: Credential;

beforeAll(async () => {
  house = await startHouse();
  broker = await house.startReplicaProcess({
    env: {
      POSTERN_THROTTLE_ADDRESS: '100000',
      // With room to grow V8 collects late; so little makes what is really held visible.
      NODE_OPTIONS: '--max-old-space-size=64 --max-semi-space-size=4',
    },
  });
  port = Number(new URL(broker.issuer).port);
  pool = new Pool(broker.issuer, { connections: 8, pipelining: 1 });
  acme = await house.issueSecret('acme');
  expect(await good()).toMatchObject({ status: 200 });
});
afterAll(async () => {
  await pool?.destroy();
  await house?.stop();
});

const good = (): Promise<Reply> => exchange(broker, acme, { audience: AUDIENCE });

let sent = 0;

/** Every other one on a connection that was used before. */
async function deliver(attempt: Attempt): Promise<WireOutcome> {
  if (!attempt.ordinary) {
    const { bytes, ending, cuts, head } = attempt;
    return sendBytes(port, bytes, { ending, cuts, head, first: sent++ % 2 === 0 ? undefined : LIVEZ });
  }
  const { statusCode, headers, body } = await pool.request({
    path: '/oauth/token',
    method: 'POST',
    headers: attempt.ordinary.headers,
    body: attempt.ordinary.body,
    headersTimeout: 5_000,
    bodyTimeout: 5_000,
  });
  const text = await body.text();
  return { replies: [{ status: statusCode, headers: headers as Record<string, string>, body: text }], hung: false, garbage: '' };
}

/** What is wrong with the broker's answer to a malformed request; undefined when nothing is. */
function complaint(attempt: Attempt, { replies, hung, garbage }: WireOutcome): string | undefined {
  if (hung) return 'no answer, and the connection is open';
  if (attempt.complete && replies.length === 0) return `no answer but ${JSON.stringify(garbage.slice(0, 200))}`;
  for (const reply of replies) {
    const fault = faultOf(reply, attempt.head);
    if (fault !== undefined)
      return `${fault}: ${reply.status} ${reply.body.includes('access_token') ? '<token>' : reply.body.slice(0, 200)}`;
  }
  return undefined;
}

function faultOf({ status, headers, body }: WireReply, head: boolean): string | undefined {
  if (status < 400 || status > 499) return 'not refused';
  if (headers['cache-control'] !== 'no-store') return 'may be stored';
  if (!headers['content-type']?.startsWith('application/json')) return 'no JSON';
  if (head) return body === '' ? undefined : 'a body for HEAD';
  if (/\bat .+:\d+:\d+|node:|\/work\/|Error:/.test(body)) return 'tells its inside';
  try {
    const { error, error_description } = JSON.parse(body) as Record<string, unknown>;
    return typeof error === 'string' && typeof error_description === 'string' ? undefined : 'no OAuth error';
  } catch {
    return 'no JSON';
  }
}

/**
 * Requests that Vault has answered, by its audit device. A marker of our own is awaited first: the log comes by pipes.
 * The broker's look at state/epoch and its like, the ledger of tokens and the renewal of its own token go on whatever clients do.
 */
async function vaultRequests(): Promise<string[]> {
  const marker = `postern/data/marker-${Math.random().toString(36).slice(2)}`;
  await house.root.read(marker);
  for (let tries = 0; ; tries += 1) {
    const log = await house.vault.logs();
    const paths = log
      .split('\n')
      .flatMap((line) =>
        line.startsWith('{') && line.includes('"type":"request"') ? [(JSON.parse(line) as { request: { path: string } }).request.path] : [],
      );
    if (paths.includes(marker)) return paths.filter((path) => !path.startsWith('postern/data/marker-') && !ANYWAY.test(path));
    if (tries > 200) throw new Error("Vault's audit log does not come");
    await sleep(25);
  }
}

/** Resident memory of the broker in MiB and its open files; undefined where there is no /proc. */
async function usage(): Promise<{ memory: number; files: number } | undefined> {
  try {
    const status = await readFile(`/proc/${broker.child.pid}/status`, 'utf8');
    const files = await readdir(`/proc/${broker.child.pid}/fd`);
    return { memory: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024, files: files.length };
  } catch {
    return undefined;
  }
}

/** Sends what the arbitrary makes, many at once, until the broker answers one wrongly. @returns how often each status came */
async function tryAll<A extends Attempt>(
  requests: fc.Arbitrary<A>,
  count: number,
  judge: (attempt: A, outcome: WireOutcome) => string | undefined = complaint,
): Promise<Map<number, number>> {
  const seen = new Map<number, number>();
  let wrong: string | undefined;
  const batches = fc.asyncProperty(fc.array(requests, { minLength: AT_ONCE, maxLength: AT_ONCE }), async (batch) => {
    const outcomes = await Promise.all(batch.map(async (attempt) => ({ attempt, outcome: await deliver(attempt) })));
    for (const { attempt, outcome } of outcomes) {
      for (const { status } of outcome.replies) seen.set(status, (seen.get(status) ?? 0) + 1);
      const said = judge(attempt, outcome);
      if (said !== undefined) wrong ??= `${said}\n  for ${attempt[fc.toStringMethod]()}`;
    }
    return wrong === undefined;
  });
  const { failed, errorInstance } = await fc.check(batches, { seed: SEED, numRuns: Math.ceil(count / AT_ONCE), endOnFailure: true });
  // Not fast-check's own account, which shows whole batches with their secrets.
  if (failed) throw new Error(`seed ${SEED}: ${wrong ?? String(errorInstance)}`);
  return seen;
}

it(`${MALFORMED} malformed requests: no 5xx, no token, no call to Vault, none unanswered (POSTERN_TEST_SEED=${SEED})`, async () => {
  await tryAll(malformedRequests(acme, AUDIENCE), 500);
  const [vaultBefore, before] = [await vaultRequests(), await usage()];
  const seen = await tryAll(malformedRequests(acme, AUDIENCE), MALFORMED);
  process.stderr.write(
    `malformed: seed ${SEED}, ${[...seen]
      .sort()
      .map(([status, times]) => `${times} × ${status}`)
      .join(', ')}\n`,
  );
  expect((await vaultRequests()).slice(vaultBefore.length)).toEqual([]);
  const after = await usage();
  if (before && after) {
    expect(after.memory - before.memory).toBeLessThan(60);
    expect(after.files - before.files).toBeLessThan(40);
  }
  expect(await good()).toMatchObject({ status: 200, body: { token_type: 'Bearer' } });
}, 90_000);

it('requests of good form with something wrong in them: refused, whatever they name', async () => {
  const seen = await tryAll(wrongRequests(acme, AUDIENCE), 1_500);
  expect([...seen.keys()].sort()).toEqual([400, 401, 403, 429]);
  expect(await good()).toMatchObject({ status: 200 });
}, 60_000);

it('a good request with bytes changed at random: a token only where it still says the same', async () => {
  await tryAll(damagedRequests(acme, AUDIENCE), 3_000, (attempt, outcome) => {
    const others = outcome.replies.filter(({ status }) => !(attempt.same && status === 200));
    return complaint(attempt, { ...outcome, replies: others });
  });
  expect(await good()).toMatchObject({ status: 200 });
}, 60_000);

it('a refusal does not spoil the connection for the good request behind it', async () => {
  const body = formOf(goodPairs(acme, AUDIENCE));
  const refused = wholeRequest({ body: `${body}&client_id=x` });
  const { replies, garbage } = await sendBytes(port, Buffer.concat([refused, refused, wholeRequest({ body })]), { ending: 'fin' });
  expect(replies.map(({ status }) => status)).toEqual([400, 400, 200]);
  expect(garbage).toBe('');
});
