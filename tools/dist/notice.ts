import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkout } from '#tools/part/version.ts';

/** A package that is part of what is shipped. */
export interface BundledPackage {
  name: string;
  version: string;
  /** SPDX, as its package.json says. */
  license: string;
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

/** The licenses' texts, which whoever passes it on must pass on with it. @param node version of the Node inside */
export async function notice(name: string, packages: readonly (BundledPackage & { folder: string })[], node?: string): Promise<string> {
  const parts = [
    `${name} contains these packages.${
      node === undefined ? '' : ` It also contains Node.js ${node}: https://github.com/nodejs/node/blob/v${node}/LICENSE`
    }\n`,
  ];
  for (const { folder, name: packaged, version, license } of packages) {
    const files = (await readdir(join(checkout, folder))).filter((file) => /^(licen[cs]e|notice)(\.|$)/i.test(file)).sort();
    const texts = await Promise.all(files.map((file) => readFile(join(checkout, folder, file), 'utf8')));
    parts.push(`\n${'='.repeat(80)}\n${packaged} ${version} (${license})\n\n${texts.map((text) => text.trim()).join('\n\n')}\n`);
  }
  return parts.join('');
}
