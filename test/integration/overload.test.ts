import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { APIS, TENANTS } from '#dev/scenario.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, LocalReplica } from '#test/fixture/broker.ts';

const REPORTS = { audience: APIS.reports.audience };
const { grants } = TENANTS.acme;

let house: House;
beforeAll(async () => {
  house = await startHouse({ tenants: { flood: { grants }, quiet: { grants } } });
});
afterAll(() => house.stop());

/** A connection that asks again as soon as it is answered, whatever it is told. */
function insist({ issuer }: LocalReplica, { client_id, client_secret }: Credential, onAnswer: (answer: string) => void): () => void {
  const body = new URLSearchParams({ grant_type: 'client_credentials', client_id, client_secret, ...REPORTS }).toString();
  const request =
    `POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n` +
    `Content-Length: ${body.length}\r\n\r\n${body}`;
  const socket = connect(Number(new URL(issuer).port), '127.0.0.1', () => socket.write(request));
  let heard = '';
  socket.on('error', () => {});
  socket.on('data', (data) => {
    heard += data.toString();
    if (!/\r\n\r\n.*\}$/s.test(heard)) return;
    onAnswer(heard);
    heard = '';
    socket.write(request);
  });
  return () => socket.destroy();
}

test('a tenant that asks more than can be served is shed, by 503 with Retry-After, and no other', { timeout: 120_000 }, async () => {
  const replica = await house.startReplica({ env: { POSTERN_SHED_AFTER: '0.05' } });
  const [flood, quiet] = await Promise.all([house.issueSecret('flood'), house.issueSecret('quiet')]);
  for (const known of [flood, quiet]) expect((await exchange(replica, known, REPORTS)).status).toBe(200);
  const answers = { flood: new Map<string, number>(), quiet: new Map<string, number>() };
  const retryAfter = new Set<string | undefined>();
  const note = (who: keyof typeof answers) => (answer: string) => {
    const status = answer.slice(9, 12);
    answers[who].set(status, (answers[who].get(status) ?? 0) + 1);
    if (status === '503') retryAfter.add(/\r\nretry-after: (\S*)/i.exec(answer)?.[1]);
  };
  // Each turn of the event loop takes so long that 400 connections wait for more than that, on any machine.
  let slow = true;
  const beSlow = (): void => {
    for (const until = performance.now() + 10; performance.now() < until;);
    if (slow) setImmediate(beSlow);
  };
  beSlow();
  const ends = Array.from({ length: 400 }, (_, n) =>
    n === 0 ? insist(replica, quiet, note('quiet')) : insist(replica, flood, note('flood')),
  );
  const seen = () => Math.min(answers.flood.get('503') ?? 0, answers.quiet.get('200') ?? 0);
  for (let waited = 0; waited < 90_000 && seen() < 20; waited += 50) await sleep(50);
  for (const end of ends) end();
  slow = false;
  expect(seen()).toBeGreaterThanOrEqual(20);
  expect([...answers.flood.keys()].toSorted()).toEqual(['200', '503']);
  expect([...answers.quiet.keys()]).toEqual(['200']);
  expect([...retryAfter]).toEqual(['1']);
  // When the flood is over nobody is shed.
  for (let n = 0; n < 20; n++) expect((await exchange(replica, flood, REPORTS)).status).toBe(200);
  await replica.stop();
});
