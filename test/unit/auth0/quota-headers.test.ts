import { expect, test } from 'vitest';
import { readQuota, tellsOfQuota } from '#broker/auth0/quota-headers.ts';
import { TokenQuotas } from '#dev/auth0/token-quota.ts';

const NOW = Date.UTC(2026, 10, 16);

test("Auth0's headers, by its own parser", async () => {
  const headers = new Headers({
    'Auth0-Client-Quota-Limit': 'b=per_hour;q=10;r=7;t=3540,b=per_day;q=100;r=0;t=60',
    'Auth0-Organization-Quota-Limit': 'b=per_day;q=5;r=5;t=86400',
  });
  expect(tellsOfQuota(headers)).toBe(true);
  expect(await readQuota(headers, NOW)).toEqual([
    {
      of: 'client',
      readings: [
        { period: 'per_hour', quota: 10, remaining: 7, resets_at: NOW + 3_540_000, read_at: NOW },
        { period: 'per_day', quota: 100, remaining: 0, resets_at: NOW + 60_000, read_at: NOW },
      ],
    },
    { of: 'organization', readings: [{ period: 'per_day', quota: 5, remaining: 5, resets_at: NOW + 86_400_000, read_at: NOW }] },
  ]);
});

test('their former names', async () => {
  expect(await readQuota(new Headers({ 'X-Quota-Client-Limit': 'b=per_hour;q=10;r=7;t=1' }), NOW)).toMatchObject([{ of: 'client' }]);
});

test.each([
  '',
  'x',
  'b=per_hour',
  'b=per_hour;q=a;r=1;t=1',
  'b=per_hour;q=-1;r=-2;t=5',
  'b=per_hour;q=5;r=6;t=5',
  'b=per_week;q=5;r=1;t=5',
])('what says nothing is nothing to go by: %j', async (text) => {
  const told = await readQuota(new Headers({ 'Auth0-Client-Quota-Limit': text }), NOW);
  expect(told.flatMap(({ readings }) => readings).filter(({ quota }) => quota > 0)).toEqual([]);
});

test('a window is no longer than its period, whatever is said', async () => {
  const [told] = await readQuota(new Headers({ 'Auth0-Client-Quota-Limit': 'b=per_hour;q=5;r=1;t=99999999999' }), NOW);
  expect(told?.readings[0]?.resets_at).toBe(NOW + 3_600_000);
});

test('the stand-in says it as Auth0 does, and refuses where it is enforced', async () => {
  const quotas = new TokenQuotas();
  const client = { id: 'm2m', secrets: [], grantTypes: [], tokenQuota: { per_hour: 2, per_day: 10 } };
  const take = () => quotas.take({ client, organization: undefined }, NOW);
  expect(take().headers).toEqual({ 'Auth0-Client-Quota-Limit': 'b=per_hour;q=2;r=1;t=3600,b=per_day;q=10;r=9;t=86400' });
  expect([take().allowed, take().allowed]).toEqual([true, false]);
  expect(quotas.take({ client, organization: undefined }, NOW + 3_600_000).allowed).toBe(true);
});
