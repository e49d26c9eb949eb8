import { execa } from 'execa';
import { getContainerRuntimeClient } from 'testcontainers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUN_LABEL, startVault, type VaultFixture } from '#test/fixture/vault.ts';
import { answers } from '#tools/part/ping.ts';
import { versions } from '#tools/part/version.ts';

const host = process.env['DOCKER_HOST'];
const docker = host !== undefined && (await answers(host, process.env)) !== undefined;

describe('the Vault that integration tests get', () => {
  let vault: VaultFixture;
  beforeAll(async () => {
    vault = await startVault();
  });
  afterAll(() => vault?.stop());

  it('is a container where a Docker Engine answers, the plain program otherwise', async () => {
    expect(vault.kind).toBe(docker ? 'container' : 'binary');
    if (!docker) return;
    const { container } = await getContainerRuntimeClient();
    const ours = (await container.list()).filter((one) => one.Labels[RUN_LABEL] === process.env['POSTERN_TEST_RUN']);
    const port = Number(new URL(vault.address).port);
    const found = ours.find((one) => one.Ports.some((mapping) => mapping.PublicPort === port));
    expect(found?.Image).toBe(versions.image.vault);
  });

  it('is a real Vault, unsealed, that accepts its root token and no other', async () => {
    const health = (await (await fetch(`${vault.address}/v1/sys/health`)).json()) as { version: string; sealed: boolean };
    expect(health.sealed).toBe(false);
    expect(health.version).toMatch(/^\d+\.\d+\.\d+/);
    const ask = (token: string) => fetch(`${vault.address}/v1/auth/token/lookup-self`, { headers: { 'X-Vault-Token': token } });
    expect((await ask(vault.rootToken)).status).toBe(200);
    expect((await ask(`${vault.rootToken}x`)).status).toBe(403);
  });

  it('opens again with its unseal key', async () => {
    const sealed = await fetch(`${vault.address}/v1/sys/seal`, { method: 'PUT', headers: { 'X-Vault-Token': vault.rootToken } });
    expect(sealed.status).toBe(204);
    const body = JSON.stringify({ key: vault.unsealKey });
    const opened = (await (await fetch(`${vault.address}/v1/sys/unseal`, { method: 'PUT', body })).json()) as { sealed: boolean };
    expect(opened.sealed).toBe(false);
  });

  it('has a log without its root token and unseal key', async () => {
    const log = await vault.logs();
    expect(log).toContain('core: ');
    expect(log.includes(vault.rootToken)).toBe(false);
    expect(log.includes(vault.unsealKey)).toBe(false);
  });
});

it("reaches a server on this machine's loopback when asked to", async () => {
  await using vault = await startVault({ reachHost: true });
  // Vault asks this address for its own health, which it can only do if it sees our loopback.
  const ask = (path: string, body: unknown) =>
    fetch(`${vault.address}/v1/${path}`, { method: 'PUT', headers: { 'X-Vault-Token': vault.rootToken }, body: JSON.stringify(body) });
  await ask('sys/auth/jwt', { type: 'jwt' });
  const { createServer } = await import('node:http');
  let asked = 0;
  const server = createServer((_request, response) => {
    asked += 1;
    response.setHeader('content-type', 'application/json').end('{"keys":[]}');
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  await ask('auth/jwt/config', { jwks_url: `http://127.0.0.1:${port}/jwks` });
  server.close();
  expect(asked).toBeGreaterThan(0);
});

it('leaves nothing running after stop', async () => {
  const vault = await startVault();
  await vault.stop();
  await vault.stop();
  await expect(fetch(`${vault.address}/v1/sys/health`)).rejects.toThrow();
  if (vault.kind === 'binary') expect((await execa('pgrep', ['-f', new URL(vault.address).host], { reject: false })).stdout).toBe('');
});
