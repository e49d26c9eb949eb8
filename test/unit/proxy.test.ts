import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getGlobalDispatcher, setGlobalDispatcher } from 'undici';
import { afterEach, expect, test } from 'vitest';
import { useProxies } from '#broker/proxy.ts';

const before = getGlobalDispatcher();
afterEach(() => setGlobalDispatcher(before));

/** A real proxy that lets nobody through and tells where they wanted to. */
async function proxy() {
  const wanted: string[] = [];
  const server = createServer((_request, response) => response.end('direct'));
  server.on('connect', (request, socket) => {
    wanted.push(request.url ?? '');
    socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { wanted, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop: () => server.close() };
}

test('what goes to Auth0 goes through the proxy, what stays here does not, and no credential is told', async () => {
  const { wanted, origin, stop } = await proxy();
  const told = useProxies({ HTTPS_PROXY: origin.replace('//', '//user:canary@'), NO_PROXY: 'inside.test' });
  expect(told).toEqual([origin]);
  await expect(fetch('https://acme.eu.auth0.test/oauth/token')).rejects.toThrow('fetch failed');
  await expect(fetch('https://inside.test/')).rejects.toThrow('fetch failed');
  expect(await (await fetch(origin)).text()).toBe('direct');
  expect(wanted).toEqual(['acme.eu.auth0.test:443']);
  stop();
});

test('without one nothing changes', () => {
  expect(useProxies({ NO_PROXY: '*', HTTPS_PROXY: '' })).toBeUndefined();
  expect(getGlobalDispatcher()).toBe(before);
});

test.each(['canary', 'socks5://127.0.0.1:1'])('%s is refused at start, without its text', (text) => {
  expect(() => useProxies({ https_proxy: text })).toThrow(/^HTTPS_PROXY or HTTP_PROXY is not/);
});
