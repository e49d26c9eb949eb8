import { PassThrough } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { ConnInfo } from '#broker/plugin/proto/generated/process.ts';
import { createCertificate } from '#broker/plugin/protocol/certificate.ts';
import { DialBack } from '#broker/plugin/protocol/dialback.ts';
import { Peer } from '#broker/plugin/protocol/peer.ts';
import { VaultSystemView } from '#broker/plugin/protocol/system.ts';
import { VaultStorage } from '#broker/plugin/protocol/storage.ts';
import { HclogLines } from '#broker/plugin/protocol/log.ts';
import { COOKIE, play } from './host.ts';

/** How long the plugin waits for a Vault that does not come. */
beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => void vi.useRealTimers());

const never = (): never => {
  throw new Error('no backend is wanted here');
};

const [vault, certificate] = await Promise.all([createCertificate(), createCertificate()]);

/** A broker stream, and what Vault says on it. */
function stream(): { dialBack: DialBack; say: (info: ConnInfo) => void; end: () => void; gone: () => number } {
  let gone = 0;
  const dialBack = new DialBack(new Peer(vault.pem), certificate, { stream: () => {}, gone: () => (gone += 1) });
  let say: (info: ConnInfo) => void = () => {};
  let end = (): void => {};
  dialBack.service.startStream({ onMessage: (listener) => (say = listener), onEnd: (listener) => (end = listener) });
  return { dialBack, say: (info) => say(info), end: () => end(), gone: () => gone };
}

it('a Vault that does not say where storage is, is waited for 5 s', async () => {
  const { dialBack } = stream();
  const dialled = dialBack.dial(7).then(
    () => 'dialled',
    (error: Error) => error.message,
  );
  await vi.advanceTimersByTimeAsync(4_990);
  expect(await Promise.race([dialled, turn('waiting')])).toBe('waiting');
  await vi.advanceTimersByTimeAsync(20);
  expect(await dialled).toBe('Vault did not say where service 7 is');
});

it('what is said of another service, of TCP, or of nowhere, is not it', async () => {
  const { dialBack, say } = stream();
  const dialled = dialBack.dial(7).then(
    (connection) => (connection.close(), 'dialled'),
    () => 'refused',
  );
  say({ serviceId: 8, network: 'unix', address: '/tmp/other' });
  say({ serviceId: 7, network: 'tcp', address: '127.0.0.1:1' });
  say({ serviceId: 7, network: 'unix', address: '' });
  expect(await Promise.race([dialled, turn('waiting')])).toBe('waiting');
  say({ serviceId: 7, network: 'unix', address: '/tmp/here' });
  expect(await dialled).toBe('dialled');
});

it('Vault is gone once, with the last of its streams', () => {
  const one = stream();
  const ends: (() => void)[] = [];
  one.dialBack.service.startStream({ onMessage: () => {}, onEnd: (listener) => void ends.push(listener) });
  one.end();
  expect(one.gone()).toBe(0);
  for (const end of ends) end();
  expect(one.gone()).toBe(1);
});

it.each([
  [
    'about storage',
    60_000,
    (client: object) => new VaultStorage(client as never, new HclogLines(new PassThrough())),
    ['get', 'list', 'put', 'delete'],
  ],
  [
    'about the node',
    10_000,
    (client: object) => new VaultSystemView(client as never),
    ['replicationState', 'localMount', 'defaultLeaseTtl', 'maxLeaseTtl', 'entity'],
  ],
] as const)('each call %s has a deadline of %d ms', async (_, patience, make, calls) => {
  const deadlines: number[] = [];
  // Of grpc-js itself: (request, metadata, options, callback).
  const client = new Proxy(
    {},
    {
      get:
        () =>
        (_request: object, _metadata: object, { deadline }: { deadline: number }, done: (error: null, reply: object) => void) => (
          deadlines.push(deadline),
          done(null, { err: '', keys: [], TTL: 0n, state: 0 })
        ),
    },
  );
  const begin = Date.now();
  const door = make(client) as unknown as Record<string, (key: string, value: Uint8Array) => Promise<unknown>>;
  for (const call of calls) await door[call]?.('k', new Uint8Array());
  expect(deadlines).toHaveLength(calls.length);
  for (const deadline of deadlines) expect(deadline - begin - patience).toBeGreaterThanOrEqual(0);
  for (const deadline of deadlines) expect(deadline - begin - patience).toBeLessThan(5_000);
});

it('a Vault that never connects is waited for a minute, then the process ends with 1', async () => {
  const played = play(never, { ...COOKIE, PLUGIN_CLIENT_CERT: vault.pem });
  while (!played.stdout.endsWith('\n')) await turn();
  let code: number | undefined;
  void played.code.then((ended) => (code = ended));
  await vi.advanceTimersByTimeAsync(59_900);
  expect(code).toBeUndefined();
  await vi.advanceTimersByTimeAsync(200);
  expect(await played.code).toBe(1);
});
