import { chmod, cp, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { applyTerraform } from '#dev/terraform.ts';
import { terraformToken } from '#dev/terraform-token.ts';
import { startVault, type VaultFixture } from '#test/fixture/vault.ts';
import { findProviders } from '#tools/part/terraform.ts';

let vault: VaultFixture;
let folder: string;

beforeAll(async () => {
  vault = await startVault();
  folder = await mkdtemp(join(tmpdir(), 'postern-crash-'));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await vault?.stop();
  await rm(folder, { recursive: true, force: true });
});

test('an apply whose provider crashes is done once more, and the crash is told; one that fails by itself is not', async () => {
  const { parts } = await findProviders();
  const { path } = parts.find(({ name }) => name === 'hashicorp/vault')!;
  const mirror = join(folder, 'mirror');
  // MIRROR/HOST/hashicorp/vault/VERSION/PLATFORM/FILE
  const host = path.split('/').slice(0, -5).join('/');
  await cp(host, join(mirror, host.split('/').at(-1)!), { recursive: true });
  const program = join(mirror, path.slice(dirname(host).length + 1));
  await rename(program, join(folder, 'provider'));
  const starts = join(folder, 'starts');
  const script = `#!/bin/sh
echo start >> '${starts}'
[ $(wc -l < '${starts}') = 1 ] || exec '${folder}/provider' "$@"
'${folder}/provider' "$@" &
sleep 0.7
kill -9 $!
echo 'fatal error: concurrent map writes' >&2
`;
  await writeFile(program, script);
  await chmod(program, 0o755);
  vi.stubEnv('POSTERN_PROVIDER_MIRROR', mirror);
  const told: string[] = [];
  const options = {
    vaultAddress: vault.address,
    vaultToken: await terraformToken(vault),
    stateDirectory: join(folder, 'state'),
    variables: {
      apis: { orders: { audience: 'https://orders.example.com', source: 'auth0', scopes: ['read:orders'] } },
      tenants: { acme: { grants: [{ api: 'orders', scopes: ['read:orders'] }] } },
    },
    report: (line: string) => told.push(line),
  };
  const { outputs } = await applyTerraform(options);
  expect(outputs['tenants']).toMatchObject({ acme: { role_id: expect.any(String) } });
  expect(told.filter((line) => line.includes('once more'))).toEqual([expect.stringContaining('concurrent map writes')]);
  expect((await readFile(starts, 'utf8')).split('\n').length).toBeGreaterThan(2);

  told.length = 0;
  const wrong = { ...options, variables: { ...options.variables, tenants: { acme: { grants: [{ api: 'nowhere', scopes: [] }] } } } };
  await expect(applyTerraform(wrong)).rejects.toThrow('terraform apply failed');
  expect(told.filter((line) => line.includes('once more'))).toEqual([]);
});
