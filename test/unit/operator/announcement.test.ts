import { expect, test } from 'vitest';
import { AnnouncementWatch, NO_ANNOUNCEMENTS } from '#broker/credential/announcements.ts';
import type { Announcements } from '#broker/credential/announcements.ts';
import { nextAnnouncements } from '#broker/operator/announcement.ts';
import { announcementsDocument } from '#broker/vault/announcements.ts';

test('an announcement counts up and keeps the newest 64', () => {
  let epoch: Announcements = NO_ANNOUNCEMENTS;
  for (let n = 1; n <= 100; n += 1) epoch = nextAnnouncements(epoch, `t${n}`, 'changed', 1_000);
  expect(epoch.epoch).toBe(100);
  expect(epoch.recent).toHaveLength(64);
  expect(epoch.recent.at(0)).toEqual({ epoch: 37, tenant: 't37', change: 'changed', at: 1_000 });
  expect(epoch.recent.at(-1)).toEqual({ epoch: 100, tenant: 't100', change: 'changed', at: 1_000 });
  expect(announcementsDocument.parse(epoch)).toEqual(epoch);
});

test('who is disabled is listed once, and a revocation leaves the list alone', () => {
  let epoch = nextAnnouncements(NO_ANNOUNCEMENTS, 'b', 'disable', 1_000);
  epoch = nextAnnouncements(epoch, 'a', 'disable', 1_000);
  epoch = nextAnnouncements(epoch, 'b', 'disable', 1_000);
  expect(epoch.disabled).toEqual(['a', 'b']);
  epoch = nextAnnouncements(epoch, 'a', 'changed', 1_000);
  expect(epoch.disabled).toEqual(['a', 'b']);
  expect(nextAnnouncements(epoch, 'a', 'enable', 1_000).disabled).toEqual(['b']);
  expect(nextAnnouncements(epoch, 'stranger', 'enable', 1_000).disabled).toEqual(['a', 'b']);
});

test('what is announced is what a broker forgets, and no more while it can follow', async () => {
  let stored: Announcements = nextAnnouncements(NO_ANNOUNCEMENTS, 'first', 'changed', 1_000);
  const forgotten: string[] = [];
  const watch = new AnnouncementWatch({
    reader: { readAnnouncements: async () => stored },
    verified: { forget: (tenant) => void forgotten.push(tenant), forgetAll: () => void forgotten.push('all') },
  });
  await watch.look();
  forgotten.length = 0;
  stored = nextAnnouncements(nextAnnouncements(stored, 'acme', 'changed', 1_000), 'evil', 'disable', 1_000);
  await watch.look();
  expect(forgotten).toEqual(['acme', 'evil']);
  expect(watch.isDisabled('evil')).toBe(true);
  // More than the list holds since it last looked.
  for (let n = 0; n < 70; n += 1) stored = nextAnnouncements(stored, `t${n}`, 'changed', 1_000);
  await watch.look();
  expect(forgotten.at(-1)).toBe('all');
});
