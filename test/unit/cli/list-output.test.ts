import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { Output } from '#cli/output.ts';
import { fakeTerminal } from './terminal.ts';

const ROWS = [
  { tenant: 'acme', grants: [{ api: 'orders' }] },
  { tenant: 'globex', grants: [] },
];

async function written(options: { json: boolean; tty: boolean }, rows: readonly { tenant: string }[]): Promise<string> {
  const terminal = fakeTerminal({ tty: options.tty, env: { NO_COLOR: '1' } });
  const list = new Output(terminal, options.json).list('tenants', ['TENANT', 'X']);
  for (const one of rows) await list.add(one, () => [one.tenant, 'x']);
  await list.end({ next: null, more: { a: 1 } });
  return terminal.out();
}

test('a list written piece by piece is the document that it would have been at once', async () => {
  for (const rows of [ROWS, []])
    for (const tty of [false, true])
      expect(await written({ json: true, tty }, rows)).toBe(
        `${JSON.stringify({ tenants: rows, next: null, more: { a: 1 } }, null, tty ? 2 : undefined)}\n`,
      );
});

test('rows are tab-separated in a pipe, and a table on a terminal', async () => {
  expect(await written({ json: false, tty: false }, ROWS)).toBe('acme\tx\nglobex\tx\n');
  expect(await written({ json: false, tty: true }, ROWS)).toBe('TENANT  X\nacme    x\nglobex  x\n');
  expect(await written({ json: false, tty: false }, [])).toBe('');
});

test('nothing is written before there is something, and no faster than it is read', async () => {
  const terminal = fakeTerminal();
  const stdout = Object.assign(new PassThrough({ highWaterMark: 10 }), { isTTY: false });
  const list = new Output({ ...terminal, stdout: stdout as unknown as NodeJS.WriteStream }, true).list('tenants', []);
  expect(stdout.readableLength).toBe(0);
  let added = false;
  const adding = list.add({ tenant: 'a-long-one' }, () => []).then(() => (added = true));
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(added).toBe(false);
  stdout.resume();
  await adding;
});
