import { chmod, rename, rm, writeFile } from 'node:fs/promises';
import { build } from 'esbuild';
import { packageFolders } from '#tools/dist/notice.ts';
import { checkout } from '#tools/part/version.ts';

/**
 * V8's limits, MB: a plugin with 10,000 tokens needs three quarters of it, and what it keeps is bounded by that (engine/credentials.ts),
 * and without them garbage piles up to 250 MB under load. And SIGUSR1 opens no inspector, by which any local user could read tokens.
 */
export const NODE_FLAGS = ['--max-semi-space-size=2', '--max-old-space-size=68', '--disable-sigusr1'];

/** The oldest Node that the plugin is tried on. */
const OLDEST_NODE = 24;

/**
 * Vault hands its whole environment to a plugin. What only serves debugging and weakens TLS, or writes requests with
 * their tokens to the log, has no say in it. `NODE_OPTIONS` and `NODE_DEBUG` are read before any script: see each kind of file.
 */
const HARMFUL = ['NODE_TLS_REJECT_UNAUTHORIZED', 'SSLKEYLOGFILE', 'GRPC_TRACE', 'GRPC_VERBOSITY', 'GRPC_NODE_TRACE', 'GRPC_NODE_VERBOSITY'];

export interface BundleOptions {
  /** The plugin's `main.ts`, absolute. */
  entry: string;
  /** Receives the script. */
  file: string;
  /** `v1.2.3`: takes the place of `POSTERN_PLUGIN_VERSION` in the sources. */
  version: string;
  /** What stands before the script, `#!` say. */
  head?: string;
}

/**
 * One CommonJS script with all that the entry imports but Node's own modules. CommonJS, since a single executable of
 * Node 24 takes nothing else. The same sources give the same bytes, wherever the checkout lies.
 * @returns the folders of the packages in it, below the checkout
 * @throws Error with esbuild's messages
 */
export async function bundlePlugin({ entry, file, version, head = '' }: BundleOptions): Promise<{ folders: string[] }> {
  const { outputFiles, metafile } = await build({
    absWorkingDir: checkout,
    entryPoints: [entry],
    bundle: true,
    platform: 'node',
    format: 'cjs',
    // Newer syntax is rewritten, so that a Node that is too old says so instead of failing to read it.
    target: 'node20',
    // A script of an executable has no module loader to import by.
    supported: { 'dynamic-import': false },
    minifySyntax: true,
    minifyWhitespace: true,
    define: { POSTERN_PLUGIN_VERSION: JSON.stringify(version), 'import.meta.main': 'true' },
    banner: { js: `${head}${preface()}` },
    legalComments: 'eof',
    outfile: file,
    write: false,
    metafile: true,
    logLevel: 'silent',
  });
  const text = outputFiles[0]?.text ?? '';
  const temporary = `${file}.${process.pid}.tmp`;
  try {
    await writeFile(temporary, text);
    await chmod(temporary, 0o755);
    await rename(temporary, file);
  } finally {
    await rm(temporary, { force: true });
  }
  return { folders: packageFolders(Object.keys(metafile.inputs)) };
}

/**
 * The beginning of a script for hosts that manage Node: `/bin/sh` reads the first two lines, Node takes the second for
 * a string and a comment. A plain `#!/usr/bin/env node` could neither set limits nor keep `NODE_OPTIONS` out.
 * @param node its path, or a name that is looked up in PATH
 */
export function shellHead(node: string): string {
  if (!/^[\w./@+-]+$/.test(node)) throw new Error('the path of Node may hold letters, digits and . _ / @ + - only');
  return (
    `#!/bin/sh\n':' //; unset NODE_OPTIONS NODE_DEBUG NODE_V8_COVERAGE NODE_COMPILE_CACHE; exec ${node} ` +
    `${NODE_FLAGS.join(' ')} -- "$0" "$@"\n`
  );
}

function preface(): string {
  const old =
    `if(Number(process.versions.node.split(".")[0])<${OLDEST_NODE}){process.stderr.write("postern-auth0 ` +
    `needs Node ${OLDEST_NODE} or newer, this is "+process.version+"\\n");process.exit(1)}`;
  return `${old}for(const name of ${JSON.stringify(HARMFUL)})delete process.env[name];`;
}
