import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { execa } from 'execa';
import { checkout } from '#tools/part/version.ts';

/** What operators copy: they have no checkout. */
const FOLDERS = ['deploy', 'terraform', 'vault-policies', 'examples', 'docs'];

/** What Terraform and people leave there. */
const LITTER = [
  // Keys and data of a deployment that was tried in this checkout.
  'deploy/compose/state',
  '.env',
  '.env.new',
  '.terraform',
  '.terraform.lock.hcl',
  '*.tfstate*',
  '*.tfplan',
  'node_modules',
  '*.log',
  '__pycache__',
];

/**
 * One archive of what is deployed beside the broker. The same files give the same bytes: neither their times nor their owner are in it.
 * @param root the checkout that it is made of
 * @param file receives the archive, `.tar.gz`
 * @throws Error with what tar said; it must be GNU's
 */
export async function deployArchive(file: string, version: string, root = checkout): Promise<void> {
  const there = new Set(await readdir(root));
  const result = await execa(
    'tar',
    [
      '--create',
      '--sort=name',
      '--mtime=@499162500',
      '--owner=0',
      '--group=0',
      '--numeric-owner',
      '--mode=u+rwX,go=rX',
      '--format=ustar',
      `--transform=s,^,postern-${version}/,`,
      ...LITTER.map((pattern) => `--exclude=${pattern}`),
      ...FOLDERS.filter((name) => there.has(name)),
      ...['LICENSE', 'CHANGELOG.md'].filter((name) => there.has(name)),
    ],
    { cwd: root, stdin: 'ignore', encoding: 'buffer', maxBuffer: 256 * 1024 * 1024, reject: false },
  );
  if (result.failed)
    throw new Error(
      `tar failed: ${Buffer.from(result.stderr ?? '')
        .toString('utf8')
        .slice(0, 400)}`,
    );
  await writeFile(join(file), gzipSync(result.stdout, { level: 9 }));
}
