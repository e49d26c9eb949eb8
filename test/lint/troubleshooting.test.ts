import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Message, messages, messagesIn } from '#tools/troubleshooting/messages.ts';
import { page, withoutMessage, withoutRemedy } from '#tools/troubleshooting/page.ts';
import { checkout } from '#tools/part/version.ts';

/* docs/troubleshooting.md is what the source says: `make generate` writes it. */

let all: Message[];
beforeAll(async () => {
  all = await messages();
});

test('every message has a remedy: a detail of the error, or a line in tools/troubleshooting/remedies.ts', () => {
  expect(all.length).toBeGreaterThan(300);
  expect(withoutRemedy(all)).toEqual([]);
});

test('no remedy is left of a message that nothing says any more', () => {
  expect(withoutMessage(all)).toEqual([]);
});

test('the page is what `make generate` writes', async () => {
  expect(await readFile(join(checkout, 'docs/troubleshooting.md'), 'utf8')).toBe(page(all));
});

test('errors of every room are found', () => {
  const files = new Set(all.map(({ file }) => file));
  for (const file of ['broker/operator/refusal.ts', 'broker/vault/unavailable.ts', 'broker/http/body.ts', 'cli/command/login.ts'])
    expect(files, file).toContain(file);
});

describe('what an error may say is read from its source', () => {
  const said = (text: string) => messagesIn('broker/x.ts', text).map(({ codes, message, detail }) => [codes.join('/'), message, detail]);

  test.each<[string, string, unknown[]]>([
    ['as it stands', `new PosternError('conflict', 'No', { detail: 'Wait' })`, [['conflict', 'No', 'Wait']]],
    ['without a detail', `new PosternError('conflict', 'No')`, [['conflict', 'No', undefined]]],
    ['what differs', 'new PosternError("conflict", `${tenant} is there`, { detail: `Use ${x}` })', [['conflict', '… is there', 'Use …']]],
    ['in parts', `new PosternError('conflict', 'One ' + 'two')`, [['conflict', 'One two', undefined]]],
    [
      'either of two',
      'new PosternError(a ? "conflict" : "not_found", `It ${b ? "is" : "was"} so`, { detail: c ? "One" : "Other" })',
      [
        ['conflict/not_found', 'It is so', 'One'],
        ['conflict/not_found', 'It is so', 'Other'],
        ['conflict/not_found', 'It was so', 'One'],
        ['conflict/not_found', 'It was so', 'Other'],
      ],
    ],
    [
      'by a subclass',
      `class Away extends PosternError { constructor() { super('conflict', 'No', { detail: 'Wait' }) } }`,
      [['conflict', 'No', 'Wait']],
    ],
    ['by another class: nothing', `class Away extends Other { constructor() { super('conflict', 'No') } }`, []],
    ['spread', `new PosternError('conflict', 'No', { ...(x ? { detail: 'Wait' } : {}) })`, [['conflict', 'No', 'Wait']]],
    [
      'by its short form',
      `throw unavailable('no answer', 5)`,
      [['temporarily_unavailable', 'Service temporarily unavailable', 'no answer']],
    ],
  ])('%s', (_, text, expected) => {
    expect(said(text)).toEqual(expected);
  });

  test('a message without a remedy is found', () => {
    const [one] = messagesIn('broker/x.ts', `new PosternError('conflict', 'Something new')`);
    expect(withoutRemedy([one as Message])).toEqual(['Something new']);
  });
});
