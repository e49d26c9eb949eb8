import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fileFacts } from '#tools/dist/file.ts';
import { checkout, packageVersion } from '#tools/part/version.ts';
import { deployArchive } from '#tools/release/deploy.ts';

let scratch: string;
let folder: string;
let version: string;
const platform = `${process.platform}-${process.arch}`;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'postern-release-'));
  folder = join(scratch, 'release');
  version = await packageVersion();
  await execa(process.execPath, [join(checkout, 'tools/release/main.ts'), '--snapshot', '--folder', folder], { cwd: scratch });
}, 240_000);
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

test('one folder holds all that is released, each with its checksum, SBOM and notices', async () => {
  const names = readdirSync(folder);
  const executable = `postern-${version}-${platform}`;
  const image = names.filter((name) => name.startsWith(`postern-image-${version}-${platform}`) && name.endsWith('.tar.gz'));
  expect(image).toHaveLength(process.platform === 'linux' ? 1 : 0);
  const expected = [
    ...[executable, `postern-${version}.tgz`].flatMap((name) => [name, `${name}.cdx.json`, `${name}.notice.txt`]),
    ...['', '.cjs', '.json', '.cdx.json', '.notice.txt'].map((end) => `postern-auth0${end}`),
    `postern-deploy-${version}.tar.gz`,
    ...(image.length === 0 ? [] : [...image, `postern-image-${version}-${platform}.cdx.json`]),
    'SHA256SUMS',
  ];
  expect(names.sort()).toEqual(expected.sort());
  const sums = readFileSync(join(folder, 'SHA256SUMS'), 'utf8').trim().split('\n');
  expect(sums).toHaveLength(names.length - 1);
  for (const line of sums) {
    const [sum, name = ''] = line.split('  ');
    expect((await fileFacts(join(folder, name))).sha256, name).toBe(sum);
  }
  for (const name of names.filter((one) => one.endsWith('.cdx.json'))) {
    const { bomFormat, components } = JSON.parse(readFileSync(join(folder, name), 'utf8'));
    expect({ name, bomFormat, many: components.length > 10 }).toEqual({ name, bomFormat: 'CycloneDX', many: true });
  }
});

test('the archive of what is deployed is the same twice, and holds neither state nor what development left', async () => {
  const again = join(scratch, 'again.tar.gz');
  await deployArchive(again, version);
  const archive = join(folder, `postern-deploy-${version}.tar.gz`);
  expect((await fileFacts(again)).sha256).toBe((await fileFacts(archive)).sha256);
  const { stdout } = await execa('tar', ['--list', '--file', archive]);
  const files = stdout.split('\n');
  for (const name of ['terraform/main.tf', 'vault-policies/tenant.hcl', 'deploy/image/Dockerfile', 'docs/install.md', 'LICENSE'])
    expect(files).toContain(`postern-${version}/${name}`);
  expect(files.filter((name) => /tfstate|\.terraform|node_modules|\.log$/.test(name))).toEqual([]);
});
