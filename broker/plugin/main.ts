import { Auth0Source } from '#broker/auth0/source.ts';
import { Engine } from './engine/engine.ts';
import type { RotateSecret } from './engine/path/rotate.ts';
import { servePlugin } from './protocol/serve.ts';

/** `make plugin` puts it in; a plugin that runs from its sources has no version. */
declare const POSTERN_PLUGIN_VERSION: string | undefined;
const version = typeof POSTERN_PLUGIN_VERSION === 'string' ? POSTERN_PLUGIN_VERSION : 'v0.0.0-dev';

/** Auth0's Management client takes as much memory as all the rest, and is wanted once in a while. */
const rotate: RotateSecret = async (rotation) => (await import('#broker/auth0/rotation.ts')).rotateClientSecret(rotation);

/** The composition root of the plugin: Vault starts it, speaks to it over a socket, and ends it. */
async function main(): Promise<number> {
  return servePlugin({
    env: process.env,
    version,
    stdout: process.stdout,
    stderr: process.stderr,
    factory: ({ log }) => new Engine({ version, log, source: (settings) => new Auth0Source(settings), sourceName: 'auth0', rotate }),
  });
}

if (import.meta.main) {
  main().then(
    (code) => process.exit(code),
    (error: unknown) => {
      process.stderr.write(`the plugin could not start: ${(error as NodeJS.ErrnoException).code ?? (error as Error).name}\n`);
      process.exit(1);
    },
  );
}
