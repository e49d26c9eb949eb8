import { expect, test } from 'vitest';
import { EpochWatch, NO_EPOCH } from '#broker/credential/announcements.ts';
import type { Epoch } from '#broker/credential/announcements.ts';
import { nextEpoch } from '#broker/operator/announcement.ts';
import { epochDocument } from '#broker/vault/announcements.ts';

test('an announcement counts up and keeps the newest 64', () => {
  let epoch: Epoch = NO_EPOCH;
  for (let n = 1; n <= 100; n += 1) epoch = nextEpoch(epoch, `t${n}`, 'changed');
  expect(epoch.epoch).toBe(100);
  expect(epoch.recent).toHaveLength(64);
  expect(epoch.recent.at(0)).toEqual({ epoch: 37, tenant: 't37' });
  expect(epoch.recent.at(-1)).toEqual({ epoch: 100, tenant: 't100' });
  expect(epochDocument.parse(epoch)).toEqual(epoch);
});

test('who is disabled is listed once, and a revocation leaves the list alone', () => {
  let epoch = nextEpoch(NO_EPOCH, 'b', 'disable');
  epoch = nextEpoch(epoch, 'a', 'disable');
  epoch = nextEpoch(epoch, 'b', 'disable');
  expect(epoch.disabled).toEqual(['a', 'b']);
  epoch = nextEpoch(epoch, 'a', 'changed');
  expect(epoch.disabled).toEqual(['a', 'b']);
  expect(nextEpoch(epoch, 'a', 'enable').disabled).toEqual(['b']);
  expect(nextEpoch(epoch, 'stranger', 'enable').disabled).toEqual(['a', 'b']);
});

test('what is announced is what a broker forgets, and no more while it can follow', async () => {
  let stored: Epoch = nextEpoch(NO_EPOCH, 'first', 'changed');
  const forgotten: string[] = [];
  const watch = new EpochWatch({
    reader: { readEpoch: async () => stored },
    verified: { forget: (tenant) => void forgotten.push(tenant), forgetAll: () => void forgotten.push('all') },
  });
  await watch.look();
  forgotten.length = 0;
  stored = nextEpoch(nextEpoch(stored, 'acme', 'changed'), 'evil', 'disable');
  await watch.look();
  expect(forgotten).toEqual(['acme', 'evil']);
  expect(watch.isDisabled('evil')).toBe(true);
  // More than the list holds since it last looked.
  for (let n = 0; n < 70; n += 1) stored = nextEpoch(stored, `t${n}`, 'changed');
  await watch.look();
  expect(forgotten.at(-1)).toBe('all');
});
