import { afterEach, expect, test } from 'vitest';
import { during } from './during.ts';
import type { Seen } from './seen.ts';
import type { Stage } from './stage.ts';
import type { Auth0StandIn } from '#dev/auth0.ts';

type Fault = Parameters<Auth0StandIn['faults']['set']>[0];

/** ms that each fault stays. */
const LASTS = 8_000;
/** Tenants that ask for their first token, one a second. */
const STRANGERS = 40;

/** Auth0 fails, or gives what it shouldn't: who has a token notices nothing, and nobody gets a wrong one. */
export function auth0Faults(stageOf: () => Stage): void {
  afterEach(() => stageOf().auth0.faults.clear());

  const struck = async (name: string, fault: Fault): Promise<Seen> => {
    const { auth0, customers } = stageOf();
    const seen = await during(stageOf(), {
      name: `Auth0 ${name}`,
      strangers: await customers.fresh(STRANGERS),
      lasts: LASTS,
      begin: async () => auth0.faults.set(fault),
      heal: async () => auth0.faults.clear(),
    });
    expect(seen.wrong).toEqual([]);
    expect(seen.hits.errors).toEqual({});
    // Who has to wait is told so, and nothing else.
    expect(Object.keys(seen.cold.errors).filter((outcome) => outcome !== '503')).toEqual([]);
    return seen;
  };

  test('answers after 2 s: a stranger waits for it', async () => {
    const seen = await struck('slow (2 s)', { kind: 'delay', milliseconds: 2_000 });
    expect(seen.cold.errors).toEqual({});
    expect(seen.upstream).toBe(seen.cold.served);
  });

  test('answers 429: its pause holds for all', async () => {
    const seen = await struck('429, Retry-After 4', { kind: 'rate_limit', retryAfter: 4 });
    // One call a replica and pause, and one for each who was served afterwards.
    expect(seen.upstream).toBeLessThanOrEqual(3 * (1 + LASTS / 4_000) + seen.cold.served);
  });

  test.each<[string, Fault]>([
    ['500', { kind: 'status', status: 500 }],
    ['hung', { kind: 'hang' }],
    ['breaks off connections', { kind: 'reset' }],
    ['signs with a key that it does not publish', { kind: 'key' }],
    ["gives another tenant's tokens", { kind: 'claims', claims: { 'https://postern.dev/tenant': 'globex' } }],
    ['gives tokens of no tenant', { kind: 'claims', claims: { 'https://postern.dev/tenant': undefined } }],
    ['has a clock 5 min ahead, in its tokens too', { kind: 'clock', milliseconds: 300_000, tokens: true }],
  ])('%s: strangers are told to come back, and Auth0 is not hammered', async (name, fault) => {
    const seen = await struck(name, fault);
    expect(seen.cold.errors['503'] ?? 0).toBeGreaterThan(0);
    expect(seen.upstream).toBeLessThan(seen.cold.asked + 10);
  });

  test('has a clock 5 min behind: nobody notices', async () => {
    const seen = await struck('clock 5 min behind, in its tokens too', { kind: 'clock', milliseconds: -300_000, tokens: true });
    expect(seen.cold.errors).toEqual({});
  });
}
