import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findDocker } from '#test/part/docker.ts';
import { answers } from '#tools/part/ping.ts';
import { Machine } from '#test/tools/machine.ts';

let machine: Machine;
let engine: Server | undefined;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => {
  engine?.closeAllConnections();
  engine?.close();
  engine = undefined;
  machine[Symbol.dispose]();
});

async function listen(answer: RequestListener, on: string | number): Promise<void> {
  engine = createServer(answer);
  await new Promise<void>((resolve) => (typeof on === 'number' ? engine?.listen(on, '127.0.0.1', resolve) : engine?.listen(on, resolve)));
}

const ping =
  (api: string): RequestListener =>
  (request, response) => {
    response.statusCode = request.url === '/_ping' ? 200 : 404;
    response.setHeader('api-version', api).setHeader('server', 'Docker/27.1.0 (linux)').end('OK');
  };

describe('a Docker Engine', () => {
  it('is not looked for when it is switched off', async () => {
    const socket = join(machine.root, 'd.sock');
    await listen(ping('1.47'), socket);
    Object.assign(machine.env, { DOCKER_HOST: `unix://${socket}`, POSTERN_DOCKER: 'off' });
    expect(await findDocker(machine.report, machine.env)).toBeUndefined();
    expect(machine.said).toEqual([]);
  });

  it('is found at DOCKER_HOST, by socket', async () => {
    const socket = join(machine.root, 'd.sock');
    await listen(ping('1.47'), socket);
    machine.env['DOCKER_HOST'] = `unix://${socket}`;
    expect(await findDocker(machine.report, machine.env)).toMatchObject({
      host: `unix://${socket}`,
      origin: 'DOCKER_HOST',
      version: '27.1.0',
    });
  });

  it('is found at DOCKER_HOST, by TCP', async () => {
    await listen(ping('1.47'), 0);
    const address = engine?.address() as AddressInfo;
    const host = `tcp://127.0.0.1:${address.port}`;
    machine.env['DOCKER_HOST'] = host;
    expect(await findDocker(machine.report, machine.env)).toMatchObject({ host });
  });

  it('does not count when it is too old for the tests', async () => {
    const socket = join(machine.root, 'd.sock');
    await listen(ping('1.39'), socket);
    expect(await answers(`unix://${socket}`, machine.env)).toBeUndefined();
  });

  it('does not hold anything up when it hangs', async () => {
    const socket = join(machine.root, 'd.sock');
    await listen(() => {}, socket);
    const start = Date.now();
    expect(await answers(`unix://${socket}`, machine.env)).toBeUndefined();
    expect(Date.now() - start).toBeLessThan(4_500);
  });

  it.each(['unix:///nowhere/docker.sock', 'tcp://127.0.0.1:9', 'ssh://somebody@nowhere', 'nonsense'])('is not at %s', async (host) => {
    expect(await answers(host, machine.env)).toBeUndefined();
  });
});
