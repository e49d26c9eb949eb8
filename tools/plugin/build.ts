import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkout, packageVersion } from '#tools/part/version.ts';
import type { Report } from '#tools/part/part.ts';
import { fileFacts } from '#tools/dist/file.ts';
import { makeExecutable } from '#tools/dist/executable.ts';
import { bundledPackages, notice } from '#tools/dist/notice.ts';
import { sbom } from '#tools/dist/sbom.ts';
import type { BundledPackage } from '#tools/dist/notice.ts';
import { NODE_FLAGS, bundlePlugin, shellHead } from './bundle.ts';

/** The name in Vault's catalogue, and of the executable. */
export const PLUGIN_NAME = 'postern-auth0';

export interface PluginBuildOptions {
  /** Receives the files. */
  folder: string;
  /** Default: the plugin's `main.ts`. */
  entry?: string;
  /** `v1.2.3`. Default: that of package.json. */
  version?: string;
  /** Whether the executable is made as well, which takes seconds where the script takes half of one. Default true. */
  executable?: boolean;
  /** The Node that the script runs on, a path or a name in PATH. Default `node`. */
  node?: string;
  report: Report;
}

/** One file that Vault can run as the plugin. */
export interface PluginFile {
  /** `executable`: with Node inside; `script`: for a host that has Node. */
  kind: 'executable' | 'script';
  file: string;
  bytes: number;
  /** Hexadecimal: what Vault's catalogue wants. */
  sha256: string;
}

/** What is written beside the files, as `postern-auth0.json`, for whoever installs them. */
export interface PluginBuild {
  name: string;
  version: string;
  /** `linux`, of Node's names. */
  platform: string;
  /** `x64`, of Node's names. */
  architecture: string;
  /** Of the Node inside. */
  node: string;
  /** Packages in the script. */
  packages: BundledPackage[];
  files: PluginFile[];
}

/**
 * Builds the plugin: one executable that needs nothing else, and one script for hosts that manage Node themselves.
 * @throws Error with what the failing tool said
 */
export async function buildPlugin(options: PluginBuildOptions): Promise<PluginBuild> {
  const { folder, report } = options;
  const entry = options.entry ?? join(checkout, 'broker/plugin/main.ts');
  const version = options.version ?? `v${await packageVersion()}`;
  if (!/^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/.test(version)) throw new Error(`${version} is not a version of the form v1.2.3`);
  await mkdir(folder, { recursive: true });
  const script = join(folder, `${PLUGIN_NAME}.cjs`);
  const { folders } = await bundlePlugin({ entry, file: script, version, head: shellHead(options.node ?? 'node') });
  const files = [await described('script', script)];
  if (options.executable !== false) {
    const inner = join(folder, `.${PLUGIN_NAME}.${process.pid}.cjs`);
    try {
      await bundlePlugin({ entry, file: inner, version });
      await makeExecutable({ script: inner, file: join(folder, PLUGIN_NAME), execArgv: NODE_FLAGS, report });
    } finally {
      await rm(inner, { force: true });
    }
    files.unshift(await described('executable', join(folder, PLUGIN_NAME)));
  }
  const parts = await bundledPackages(folders);
  await writeFile(join(folder, `${PLUGIN_NAME}.notice.txt`), await notice(PLUGIN_NAME, parts, process.versions.node));
  await writeFile(
    join(folder, `${PLUGIN_NAME}.cdx.json`),
    sbom({ name: PLUGIN_NAME, version, packages: parts, node: options.executable === false ? undefined : process.versions.node }),
  );
  const packages = parts.map(({ name, version: packaged, license }) => ({ name, version: packaged, license }));
  const made: PluginBuild = {
    name: PLUGIN_NAME,
    version,
    platform: process.platform,
    architecture: process.arch,
    node: process.versions.node,
    packages,
    files,
  };
  await writeFile(
    join(folder, `${PLUGIN_NAME}.json`),
    `${JSON.stringify({ ...made, files: files.map((file) => ({ ...file, file: file.file.slice(folder.length + 1) })) }, null, 2)}\n`,
  );
  return made;
}

async function described(kind: PluginFile['kind'], file: string): Promise<PluginFile> {
  return { kind, ...(await fileFacts(file)) };
}
