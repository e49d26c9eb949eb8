import { cp, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findProviders, findTerraform } from '#tools/part/terraform.ts';
import { checkout } from '#tools/part/version.ts';
import { cleanEnvironment } from '#tools/process/environment.ts';

/*
 * `terraform test` over each module, with mocked providers: what each makes of its variables. What Vault and Auth0 make of that is
 * tried with real ones in the other files.
 */

const modules = readdirSync(join(checkout, 'terraform/modules'));
let folder: string;
let terraform: { path: string; env: Record<string, string>; mocks: boolean };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-modules-'));
  for (const name of ['terraform', 'vault-policies'])
    await cp(join(checkout, name), join(folder, name), { recursive: true, filter: (path) => !/\.terraform|\.tfstate|\.tfvars/.test(path) });
  const { path } = await findTerraform();
  const { env } = await findProviders();
  const { stdout } = await execa(path, ['version', '-json'], { env: { CHECKPOINT_DISABLE: '1', TF_CLI_CONFIG_FILE: '' } });
  const [major = 0, minor = 0] = (JSON.parse(stdout) as { terraform_version: string }).terraform_version.split('.').map(Number);
  terraform = { path, env: { ...cleanEnvironment(process.env), ...env, CHECKPOINT_DISABLE: '1' }, mocks: major > 1 || minor >= 7 };
}, 600_000);
afterAll(async () => rm(folder, { recursive: true, force: true }));

test.for(modules)('module %s', { timeout: 180_000 }, async (module, { skip }) => {
  const files = (await readdir(join(folder, 'terraform/modules', module, 'tests'))).filter((name) => name.endsWith('.tftest.hcl'));
  const texts = await Promise.all(files.map((name) => readFile(join(folder, 'terraform/modules', module, 'tests', name), 'utf8')));
  const runs = texts.join('\n').match(/^run "/gm)?.length ?? 0;
  expect(runs).toBeGreaterThan(2);
  // Terraform has mocked providers from 1.7 on; 1.5.7, which is all that can be built from its Go module, doesn't know this command.
  skip(!terraform.mocks, 'this Terraform is older than 1.7, which has mocked providers');
  const run = (args: string[]) =>
    execa(terraform.path, [`-chdir=${join(folder, 'terraform/modules', module)}`, ...args], {
      env: { ...terraform.env, TF_DATA_DIR: join(folder, `data-${module}`) },
      extendEnv: false,
      all: true,
      reject: false,
    });
  const init = await run(['init', '-no-color', '-input=false']);
  expect(init.exitCode, init.all).toBe(0);
  const tested = await run(['test', '-no-color']);
  expect(tested.all).toContain(`Success! ${runs} passed, 0 failed.`);
});
