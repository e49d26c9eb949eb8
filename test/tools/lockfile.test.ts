import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { checkout } from '#tools/part/version.ts';

type Entry = { version?: string; resolved?: string; optionalDependencies?: Record<string, string> };
const lock = JSON.parse(readFileSync(join(checkout, 'package-lock.json'), 'utf8')) as { packages: Record<string, Entry> };

it('the lock file holds the builds for every platform, without which npm ci refuses it', () => {
  const names = new Set(Object.keys(lock.packages).map((path) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)));
  const missing = Object.entries(lock.packages).flatMap(([path, entry]) =>
    Object.keys(entry.optionalDependencies ?? {}).flatMap((name) => (names.has(name) ? [] : [`${name} of ${path}`])),
  );
  expect(missing).toEqual([]);
});

it('the lock file names no registry, so that each user keeps their own', () => {
  expect(Object.values(lock.packages).filter((entry) => entry.resolved)).toEqual([]);
});
