import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { issuedKey } from '#dev/auth0.ts';
import { APIS } from '#dev/scenario.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { checkout } from '#tools/part/version.ts';
import { during } from './during.ts';
import type { Stage } from './stage.ts';

const CROWD = 10_000;
const program = (name: string): string => join(checkout, 'test/fault', name);
/** Each connection is an open file, here and there: `ulimit -n`. */
const env = { PATH: process.env['PATH'] ?? '' };

/** Very many at once. */
export function crowdFaults(stageOf: () => Stage): void {
  test(`${CROWD} connections that send a byte a second`, { timeout: 600_000 }, async () => {
    const { replicas } = stageOf();
    const slow = execa(process.execPath, [program('slow-clients.ts'), String(replicas[0]!.port), String(CROWD)], {
      env,
      extendEnv: false,
      reject: false,
      buffer: false,
    });
    let last = { begun: 0, open: 0, most: 0, refused: 0 };
    const all = new Promise<void>((resolve, reject) => {
      createInterface({ input: slow.stdout }).on('line', (line) => {
        last = JSON.parse(line) as typeof last;
        if (last.begun >= CROWD) resolve();
      });
      void slow.then(({ stderr }) => reject(new Error(`the slow clients have ended: ${String(stderr)}`)));
    });
    try {
      const seen = await during(stageOf(), { name: `${CROWD} connections that send a byte a second`, begin: () => all, lasts: 20_000 });
      console.log(`slow connections: ${JSON.stringify(last)}`);
      expect(last.begun).toBe(CROWD);
      expect(seen.wrong).toEqual([]);
      expect(seen.hits.errors).toEqual({});
      expect(seen.cold.errors).toEqual({});
      expect(seen.upstream).toBe(0);
    } finally {
      slow.kill('SIGKILL');
      await slow;
    }
  });

  test(`${CROWD} first requests of one tenant at each replica: one call to Auth0`, { timeout: 1_500_000 }, async () => {
    const { replicas, customers, auth0, caFile, services } = stageOf();
    const [stranger] = await customers.fresh(1);
    const { client_id, client_secret, tenant } = stranger!;
    const { audience } = APIS.orders;
    const form = new URLSearchParams({ grant_type: 'client_credentials', client_id, client_secret, audience }).toString();
    // So that as many as the machine can bring have asked before there is an answer.
    auth0.faults.set({ kind: 'delay', milliseconds: 3_000 }, { times: 1 });
    const [before, keysBefore] = [auth0.calls.token, auth0.calls.jwks];
    const logged = replicas.map((one) => ({ log: one.log().length, audit: one.audit().length }));
    const crowds = replicas.map(({ url }) =>
      execa(process.execPath, [program('crowd.ts'), url, String(CROWD), caFile], { env, extendEnv: false, timeout: 1_200_000 }),
    );
    const connecting = performance.now();
    for (const { stdin } of crowds) stdin.write(`${form}\n`);
    // Where one ends before, that is the answer.
    await Promise.all(crowds.map((crowd) => Promise.race([crowd, once(createInterface({ input: crowd.stdout }), 'line')])));
    const began = performance.now();
    for (const { stdin } of crowds) stdin.end('go\n');
    const ended = await Promise.all(crowds);
    const seconds = (performance.now() - began) / 1000;
    const said = ended.map(
      ({ stdout }) => JSON.parse(stdout.split('\n').at(-1)!) as { outcomes: Record<string, number>; tokens: string[] },
    );
    const connected = ((began - connecting) / 1000).toFixed(0);
    const answers = said.map(({ outcomes }) => JSON.stringify(outcomes)).join(', ');
    console.log(`${CROWD} at each replica, connected in ${connected} s, all served after ${seconds.toFixed(1)} s: ${answers}`);
    // What brokers complained of, in case that more than one has asked Auth0.
    for (const [n, one] of replicas.entries())
      for (const line of [...complaints(one.log().slice(logged[n]!.log)), ...leases(one.audit().slice(logged[n]!.audit))])
        console.log(`${one.name}: ${line}`);
    const made = auth0.issued.get(issuedKey(tenant, audience)) ?? 0;
    console.log(
      `Auth0: ${auth0.calls.token - before} calls, ${made} tokens of this tenant, ${auth0.calls.jwks - keysBefore} reads of its keys`,
    );
    const tokens = new Set(said.flatMap((one) => one.tokens));
    for (const token of tokens) {
      registerSecret('access token', token);
      expect(await services.fault(token, tenant, audience)).toBeUndefined();
    }
    expect(tokens.size).toBe(1);
    expect(auth0.calls.token - before).toBe(1);
    for (const { outcomes } of said) {
      expect(outcomes['200']).toBe(CROWD);
      expect(Object.keys(outcomes).filter((outcome) => outcome !== '200' && outcome !== '503')).toEqual([]);
    }
  });
}

interface Logged {
  readonly level: number;
  readonly time: string;
  readonly msg: string;
  readonly err?: { readonly message?: string; readonly detail?: string };
}

/** Of a broker's log, from WARN on. */
function complaints(log: string): string[] {
  return documentsIn<Logged>(log)
    .filter(({ level }) => level >= 40)
    .map(({ time, msg, err }) => [time, msg, err?.message ?? '', err?.detail ?? ''].join(' ').trimEnd());
}

interface Audited {
  readonly event: string;
  readonly time: string;
  readonly outcome: string;
  readonly source?: string;
  readonly why?: string;
}

/** Of a broker's audit: who took the lease over, and which answers came from where. */
function leases(audit: string): string[] {
  const all = documentsIn<Audited>(audit);
  const answers = Object.groupBy(
    all.filter(({ event }) => event === 'token.exchange'),
    ({ outcome, source = '' }) => `${outcome} ${source}`,
  );
  return [
    ...all.filter(({ event }) => event === 'token.lease').map(({ time, outcome, why }) => `${time} lease ${outcome}: ${why}`),
    ...Object.entries(answers).map(([what, those = []]) => `${those[0]!.time} to ${those.at(-1)!.time} ${those.length} ${what}`),
  ];
}

function documentsIn<T>(text: string): T[] {
  return text.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as T] : []));
}
