import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { freePort } from '#dev/port.ts';

test('a wished port that is taken gives way to another', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const other = await freePort(port);
  expect(other).not.toBe(port);
  expect(other).toBeGreaterThan(1023);
  server.close();
  await once(server, 'close');
  expect(await freePort(port)).toBe(port);
});
