import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Report } from '#tools/part/part.ts';
import { packageVersion } from '#tools/part/version.ts';
import { bundle } from './bundle.ts';
import type { Bundle } from './bundle.ts';
import { makeExecutable } from './executable.ts';
import { NODE_OPTIONS } from './node-options.ts';
import { fileFacts } from './file.ts';
import type { FileFacts } from './file.ts';
import { notice } from './notice.ts';
import type { BundledPackage } from './notice.ts';
import { makePackage } from './package.ts';
import { sbom } from './sbom.ts';

export type Kind = 'executable' | 'package' | 'plugin' | 'image';

export interface Artifact extends FileFacts {
  kind: Kind;
  /** Files beside it that go with it: its SBOM and the licences of what is in it. */
  with: string[];
  /** Packages of which something is in it. */
  packages: readonly BundledPackage[];
}

export interface DistOptions {
  /** Receives the files. */
  folder: string;
  /** Default: all but those that were not asked for by name. */
  kinds?: readonly ('executable' | 'package')[];
  report: Report;
}

/**
 * Makes what is deployed without a checkout: the `postern` executable with Node inside for the platform built on, and the npm package.
 * The same sources, Node and strip give the same bytes.
 * @throws Error with what the failing tool said
 */
export async function buildDist({ folder, kinds = ['executable', 'package'], report }: DistOptions): Promise<Artifact[]> {
  const version = await packageVersion();
  await mkdir(folder, { recursive: true });
  const made = await bundle({ entry: 'cli/main.ts', version });
  const artifacts: Artifact[] = [];
  if (kinds.includes('executable')) {
    report('postern: one executable, with Node inside');
    artifacts.push(await executable(made, version, folder, report));
  }
  if (kinds.includes('package')) {
    report('postern: the npm package');
    artifacts.push(await npmPackage(made, version, folder));
  }
  return artifacts;
}

async function executable(made: Bundle, version: string, folder: string, report: Report): Promise<Artifact> {
  const file = join(folder, 'postern');
  const script = join(folder, `.postern.${process.pid}.cjs`);
  try {
    // An executable's script has no line for a shell.
    await writeFile(script, made.text.replace(/^#!.*\n/, ''));
    await makeExecutable({ script, file, execArgv: NODE_OPTIONS, report });
  } finally {
    await rm(script, { force: true });
  }
  await chmod(file, 0o755);
  return {
    kind: 'executable',
    ...(await fileFacts(file)),
    with: await beside(file, made, version, process.versions.node),
    packages: made.packages,
  };
}

async function npmPackage(made: Bundle, version: string, folder: string): Promise<Artifact> {
  const file = join(folder, `postern-${version}.tgz`);
  await makePackage({ bundle: made, version, file });
  return { kind: 'package', ...(await fileFacts(file)), with: await beside(file, made, version), packages: made.packages };
}

async function beside(file: string, { packages }: Bundle, version: string, node?: string): Promise<string[]> {
  const name = basename(file);
  const files = {
    [`${name}.cdx.json`]: sbom({ name, version, packages, node }),
    [`${name}.notice.txt`]: await notice(name, packages, node),
  };
  for (const [one, text] of Object.entries(files)) await writeFile(join(file, '..', one), text);
  return Object.keys(files);
}
