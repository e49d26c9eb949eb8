import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { Plugin } from 'esbuild';
import { checkout } from '#tools/part/version.ts';
import { bundledPackages, packageFolders } from './notice.ts';
import type { BundledPackage } from './notice.ts';

export interface Bundle {
  text: string;
  /** Packages of which something is in it, with their folders below the checkout. */
  packages: (BundledPackage & { folder: string })[];
  /** Our own files in it, from the checkout's root. */
  sources: string[];
}

export interface BundleOptions {
  /** From the checkout's root. */
  entry: string;
  /** Of the product. */
  version: string;
  /** What stands before the script, `#!` say. */
  head?: string;
}

/** The oldest Node that a release is tried on. */
export const OLDEST_NODE = 22;

/**
 * One CommonJS script with all that the entry imports but Node's own modules: CommonJS, since a single executable of Node 24 takes
 * nothing else. The same sources give the same text, wherever the checkout lies. `dev/` and what only development has is left out: the
 * command that needs it says so.
 * @throws Error with esbuild's messages
 */
export async function bundle({ entry, version, head = '' }: BundleOptions): Promise<Bundle> {
  const seldom = await seldomUsed('auth0');
  const { outputFiles, metafile } = await build({
    plugins: [seldom.plugin, NOT_AXIOS],
    absWorkingDir: checkout,
    entryPoints: [entry],
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: `node${OLDEST_NODE}`,
    // Newer syntax is rewritten, and what is imported when it is needed is in the script already.
    supported: { 'dynamic-import': false, using: false },
    minifySyntax: true,
    minifyWhitespace: true,
    define: {
      POSTERN_VERSION: JSON.stringify(version),
      POSTERN_POLICIES: JSON.stringify(await policies()),
      'import.meta.main': 'false',
    },
    // The one is a checkout's own; the other is there only because of development, and `debug` does without.
    external: ['#dev/*', 'supports-color'],
    banner: { js: head },
    legalComments: 'none',
    write: false,
    outfile: 'postern.cjs',
    metafile: true,
    logLevel: 'silent',
  });
  const inputs = [...Object.keys(metafile.inputs), ...seldom.inputs];
  return {
    text: outputFiles[0]?.text ?? '',
    packages: await bundledPackages(packageFolders(inputs)),
    sources: inputs.filter((path) => !/node_modules\/|^<|^(?:text|none):/.test(path)).sort(),
  };
}

/** node-vault loads it before it is told that we have a transport of our own (broker/vault/node-vault.ts). */
const NOT_AXIOS: Plugin = {
  name: 'not-axios',
  setup(host) {
    host.onResolve({ filter: /^axios$/ }, () => ({ path: 'axios', namespace: 'none' }));
    host.onLoad({ filter: /.*/, namespace: 'none' }, () => ({ contents: 'module.exports = {};', loader: 'js' }));
  },
};

/**
 * Puts a package into the script as text, which is read as a program where it is first needed: V8 would look at all of it at each start
 * otherwise, and the broker needs none of it.
 */
async function seldomUsed(name: string): Promise<{ plugin: Plugin; inputs: string[] }> {
  const { outputFiles, metafile } = await build({
    absWorkingDir: checkout,
    stdin: { contents: `export * from ${JSON.stringify(name)};`, resolveDir: checkout },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: `node${OLDEST_NODE}`,
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'none',
    write: false,
    metafile: true,
    logLevel: 'silent',
  });
  const text = JSON.stringify(outputFiles[0]?.text ?? '');
  const contents = `const made={exports:{}};new Function('module','exports','require',${text})(made,made.exports,require);module.exports=made.exports;`;
  return {
    inputs: Object.keys(metafile.inputs),
    plugin: {
      name: 'seldom',
      setup(host) {
        host.onResolve({ filter: new RegExp(`^${name}$`) }, () => ({ path: name, namespace: 'text' }));
        host.onLoad({ filter: /.*/, namespace: 'text' }, () => ({ contents, loader: 'js' }));
      },
    },
  };
}

/** What `postern doctor` compares Vault's policies with. */
async function policies(): Promise<Record<string, string>> {
  const folder = join(checkout, 'vault-policies');
  const files = (await readdir(folder)).filter((file) => file.endsWith('.hcl')).sort();
  return Object.fromEntries(await Promise.all(files.map(async (file) => [file.slice(0, -4), await readFile(join(folder, file), 'utf8')])));
}
