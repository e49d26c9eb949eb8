import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import type { Context } from './context.ts';

/** Put in by what bundles the sources for a release, which leaves dev/ out. */
declare const POSTERN_VERSION: string | undefined;

export function devCommand(context: Context): Command {
  return context
    .command('dev', 'run everything on this machine: Vault, a stand-in for Auth0, the broker, two customers; until Ctrl-C', [
      ['postern dev', 'addresses, credentials for local play and a curl line are printed'],
      ['postern dev --json', 'the addresses as JSON'],
    ])
    .action(
      context.action(async ({ options, end }) => {
        // Loaded only here: no other command needs Vault's program, Terraform or the stand-in.
        if (typeof POSTERN_VERSION === 'string') throw notHere();
        const { runDev } = await import('#dev/dev.ts').catch(notInstalled);
        end(await runDev({ json: options.json === true }));
      }),
    );
}

/** An installation for production has neither the stand-ins nor what starts the real parts. */
function notInstalled(error: unknown): never {
  throw (error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND' ? notHere() : error;
}

function notHere(): PosternError {
  return new PosternError('misconfigured', '"postern dev" is not installed here', {
    detail: 'It needs a checkout of Postern with its development packages: run "make dev" there, or "npm ci --include=dev" first.',
  });
}
