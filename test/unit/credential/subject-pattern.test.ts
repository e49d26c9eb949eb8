import fc from 'fast-check';
import { expect, test } from 'vitest';
import { matchesPattern, patternFault } from '#broker/credential/subject-pattern.ts';

const BRANCHES = 'repo:acme/app:ref:refs/heads/*';

test.each([
  [BRANCHES, 'repo:acme/app:ref:refs/heads/main'],
  ['repo:acme/*:ref:refs/heads/main', 'repo:acme/app.x_y-1:ref:refs/heads/main'],
  ['repo:acme/app:**', 'repo:acme/app:pull_request'],
  ['repo:acme/app:ref:refs/heads/**', 'repo:acme/app:ref:refs/heads/feature/one/two'],
  ['spiffe://acme.org/ns/*/sa/*', 'spiffe://acme.org/ns/jobs/sa/nightly'],
  ['system:serviceaccount:jobs:*', 'system:serviceaccount:jobs:nightly'],
])('%s takes %s', (pattern, subject) => {
  expect(patternFault(pattern)).toBeUndefined();
  expect(matchesPattern(pattern, subject)).toBe(true);
});

test.each([
  [BRANCHES, 'repo:acme/app:ref:refs/heads/'],
  [BRANCHES, 'repo:acme/app:ref:refs/heads'],
  [BRANCHES, 'repo:acme/app:ref:refs/heads/a/b'],
  [BRANCHES, 'repo:acme/app:ref:refs/heads/a:b'],
  [BRANCHES, 'repo:acme/app-evil:ref:refs/heads/main'],
  [BRANCHES, 'repo:acme:app:ref:refs/heads/main'],
  [BRANCHES, 'repo:acme/app:ref:refs/heads/ä'],
  [BRANCHES, 'repo:acme/app:ref:refs/heads/..'],
  ['repo:acme/app:**', 'repo:acme/app:'],
  ['repo:acme/app:**', 'repo:acme/app'],
  ['repo:acme/app:**', 'repo:acme/app:ref::x'],
  ['repo:acme/app:**', 'repo:acme/app:ref/'],
  ['repo:acme/app:**', 'repo:acme/app:ref/../../x'],
  ['repo:acme/*:ref:refs/heads/main', 'repo:acme/x:ref:refs/heads/main:ref:refs/heads/main'],
])('%s does not take %s', (pattern, subject) => {
  expect(matchesPattern(pattern, subject)).toBe(false);
});

test.each([
  'repo:acme/app',
  'repo:*/app',
  '*',
  '**',
  'repo:**',
  '*:acme/app',
  'repo:acme/app*',
  'repo:acme/*app:x',
  'repo:acme/app:*x*',
  'repo:acme/**/x',
  'repo:acme/***',
  'repo:acme/*/',
  '://*/x',
  'repo:acme/ä/*',
  'repo:acme/a b/*',
  `repo:acme/${'x/'.repeat(600)}*`,
])('%s is no pattern', (pattern) => {
  expect(patternFault(pattern)).toBeTypeOf('string');
});

test('a pattern takes nothing with other literals, an empty segment, or more segments than it has', () => {
  const segment = fc.stringMatching(/^[a-z0-9._-]{1,8}$/).filter((one) => one !== '.' && one !== '..');
  fc.assert(
    fc.property(segment, segment, segment, fc.string(), (owner, repository, branch, any) => {
      const pattern = `repo:${owner}/*:ref:${branch}`;
      expect(matchesPattern(pattern, `repo:${owner}/${repository}:ref:${branch}`)).toBe(true);
      expect(matchesPattern(pattern, `repo:${owner}${repository}/x:ref:${branch}`)).toBe(false);
      const taken = matchesPattern(pattern, `repo:${owner}/${any}:ref:${branch}`);
      if (taken) expect(any).toMatch(/^[\x21-\x7e]+$/);
      if (taken) expect(any).not.toMatch(/[:/]/);
    }),
  );
});
