import { expect, test } from 'vitest';
import type { AdminEvent } from '#broker/audit/admin-event.ts';
import { RecentChanges } from '#broker/audit/recent-changes.ts';

const change = (tenant: string, keyId: string): AdminEvent => ({
  time: '2026-11-28T20:00:00.000Z',
  request_id: 'request-1',
  event: 'admin.issueKey',
  outcome: 'done',
  caller: 'olivia',
  by: 'jwt',
  address: '192.0.2.1',
  ms: 1,
  tenant,
  key_id: keyId,
});

test('the newest first, of one tenant or of all, and no more than are kept', () => {
  const changes = new RecentChanges({ max: 3, now: () => Date.parse('2026-11-28T19:00:00Z') });
  expect([changes.since, changes.latest(10)]).toEqual(['2026-11-28T19:00:00.000Z', []]);
  for (const [tenant, key] of [
    ['acme', '1'],
    ['acme', '2'],
    ['globex', '3'],
    ['acme', '4'],
  ] as const)
    changes.record(change(tenant, key));
  const ids = (...args: Parameters<RecentChanges['latest']>) => changes.latest(...args).map(({ key_id: id }) => id);
  expect(ids(10)).toEqual(['4', '3', '2']);
  expect(ids(2)).toEqual(['4', '3']);
  expect(ids(10, 'acme')).toEqual(['4', '2']);
  expect(ids(10, 'nobody')).toEqual([]);
  // What it gives is nobody's way to change it.
  (changes.latest(10) as AdminEvent[]).pop();
  expect(ids(10)).toHaveLength(3);
});
