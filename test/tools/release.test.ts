import { expect, test } from 'vitest';
import { releaseFaults } from '#tools/release/check.ts';
import type { ReleaseFacts } from '#tools/release/check.ts';

const good: ReleaseFacts = {
  version: '1.2.3',
  changelog: '# Changelog\n\n## Unreleased\n\n## 1.2.3 - 2026-11-28\n\n- A thing.\n\n## 1.2.2\n\n- Another.\n',
  changed: [],
  tags: ['v1.2.3'],
};

test('sources that are ready have no fault', () => {
  expect(releaseFaults(good, false)).toEqual([]);
  expect(releaseFaults({ ...good, version: '1.2.2', tags: ['v1.2.2'] }, false)).toEqual([]);
});

test.each<[string, Partial<ReleaseFacts>, RegExp]>([
  ['a version with a v', { version: 'v1.2.3' }, /not a semantic version/],
  ['a version of two numbers', { version: '1.2' }, /not a semantic version/],
  ['a number with a leading zero', { version: '1.02.3' }, /not a semantic version/],
  ['no section', { changelog: '## 1.2.30\n\n- A thing.\n' }, /no section "## 1\.2\.3"/],
  ['an empty section', { changelog: '## 1.2.3\n\n## 1.2.2\n\n- Another.\n' }, /no section "## 1\.2\.3"/],
  ['something unreleased', { changelog: good.changelog.replace('Unreleased\n', 'Unreleased\n\n- New.\n') }, /belongs under 1\.2\.3/],
  ['a changed file', { changed: ['a.ts'] }, /git: a\.ts is not committed/],
  ['many changed files', { changed: ['a', 'b', 'c', 'd'] }, /git: a, b, c and more are not committed/],
  ['no tag', { tags: [] }, /no tag v1\.2\.3/],
  ['another tag', { tags: ['v1.2.30'] }, /no tag v1\.2\.3/],
  ['no repository', { changed: undefined, tags: [] }, /not a git repository/],
])('%s: is refused', (_what, change, says) => {
  const faults = releaseFaults({ ...good, ...change }, false);
  expect(faults.join('\n')).toMatch(says);
});

test('all faults are told at once', () =>
  expect(releaseFaults({ version: '1', changelog: '', changed: ['a'], tags: [] }, false)).toHaveLength(4));

test('a build to try needs a semantic version alone', () => {
  const facts = { ...good, changelog: '## Unreleased\n\n- New.\n', changed: ['a'], tags: [] };
  expect(releaseFaults(facts, true)).toEqual([]);
  expect(releaseFaults({ ...facts, version: '1' }, true)).toHaveLength(1);
});
