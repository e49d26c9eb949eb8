import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { checkout } from '#tools/part/version.ts';

/** A package that is part of what is shipped. */
export interface BundledPackage {
  name: string;
  version: string;
  /** SPDX, as its package.json says. */
  license: string;
}

/** The folders of the packages that a bundle was made of, below the checkout. @param inputs paths of its sources */
export function packageFolders(inputs: readonly string[]): string[] {
  const folders = inputs.flatMap((path) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(path)?.[0] ?? []);
  return [...new Set(folders)].sort();
}

/** @param folders of packages below the checkout, e.g. `node_modules/zod` */
export async function bundledPackages(folders: readonly string[]): Promise<(BundledPackage & { folder: string })[]> {
  const found = await Promise.all(
    folders.map(async (folder) => {
      const { name, version, license } = JSON.parse(await readFile(join(checkout, folder, 'package.json'), 'utf8')) as Record<
        string,
        unknown
      >;
      return { folder, name: String(name), version: String(version), license: typeof license === 'string' ? license : 'see its text' };
    }),
  );
  return found.sort((a, b) => (`${a.name}@${a.version}` < `${b.name}@${b.version}` ? -1 : 1));
}

/** The text of a package's license, under its name. */
export async function licenseOf({ folder, name, version, license }: BundledPackage & { folder: string }): Promise<string> {
  const files = (await readdir(join(checkout, folder))).filter((file) => /^(licen[cs]e|notice)(\.|$)/i.test(file)).sort();
  const texts = await Promise.all(files.map((file) => readFile(join(checkout, folder, file), 'utf8')));
  return `${'='.repeat(80)}\n${name} ${version} (${license})\n\n${texts.map((text) => text.trim()).join('\n\n')}\n`;
}

/** The licenses' texts, which whoever passes it on must pass on with it. @param node version of the Node inside */
export async function notice(name: string, packages: readonly (BundledPackage & { folder: string })[], node?: string): Promise<string> {
  const parts = [
    `${name} contains these packages.${node === undefined ? '' : ` It also contains Node.js ${node}, whose licenses stand at the end.`}\n`,
  ];
  for (const one of packages) parts.push(`\n${await licenseOf(one)}`);
  if (node !== undefined) parts.push(`\n${'='.repeat(80)}\nNode.js ${node} (MIT)\n\n${(await nodeLicense(node)).trim()}\n`);
  return parts.join('');
}

/**
 * Node's own license and those of what it is made of. An installation by hand has the file beside it; npm's package of Node has it too, but
 * what installs that keeps the program alone.
 * @throws Error where npm can't have the package
 */
async function nodeLicense(node: string): Promise<string> {
  const beside = await readFile(join(dirname(process.execPath), '../LICENSE'), 'utf8').catch(() => '');
  if (beside.includes('Node.js contributors')) return beside;
  const scratch = await mkdtemp(join(tmpdir(), 'postern-node-license-'));
  try {
    const args = ['pack', `node-${process.platform}-${process.arch}@${node}`, '--ignore-scripts', '--silent', '--prefer-offline'];
    const packed = await execa('npm', args, { cwd: scratch, reject: false, stdin: 'ignore' });
    if (packed.failed) throw new Error(`the license of Node ${node} can't be had: npm pack failed (${packed.stderr.slice(0, 300)})`);
    const tarball = packed.stdout.trim().split('\n').at(-1) ?? '';
    const { stdout } = await execa('tar', ['--extract', '--to-stdout', '--file', join(scratch, tarball), 'package/LICENSE']);
    return stdout;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
