import { Auth0Source } from '#broker/auth0/source.ts';
import { PosternError } from '#broker/error.ts';
import { Engine } from './engine/engine.ts';
import type { RotateSecret } from './engine/path/rotate.ts';
import { servePlugin } from './protocol/serve.ts';

/** `make plugin` puts it in; a plugin that runs from its sources has no version. */
declare const POSTERN_PLUGIN_VERSION: string | undefined;
const version = typeof POSTERN_PLUGIN_VERSION === 'string' ? POSTERN_PLUGIN_VERSION : 'v0.0.0-dev';

/** Auth0's Management client takes as much memory as all the rest, and is wanted once in a while. */
const rotate: RotateSecret = async (rotation) => (await import('#broker/auth0/rotation.ts')).rotateClientSecret(rotation);

/** The proxy that Vault's environment names, which the plugin inherits. Without one its library isn't loaded: it takes memory. */
async function useProxies(env: NodeJS.ProcessEnv): Promise<void> {
  const named = ['HTTPS_PROXY', 'HTTP_PROXY'].some((name) => env[name] || env[name.toLowerCase()]);
  if (named) (await import('#broker/proxy.ts')).useProxies(env);
}

/** The composition root of the plugin: Vault starts it, speaks to it over a socket, and ends it. */
async function main(): Promise<number> {
  await useProxies(process.env);
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
      const { code, message, name } = error as NodeJS.ErrnoException;
      process.stderr.write(`the plugin could not start: ${error instanceof PosternError ? message : (code ?? name)}\n`);
      process.exit(1);
    },
  );
}
