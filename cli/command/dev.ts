import type { Command } from 'commander';
import type { Context } from './context.ts';

export function devCommand(context: Context): Command {
  return context
    .command('dev', 'run everything on this machine: Vault, a stand-in for Auth0, the broker, two customers; until Ctrl-C', [
      ['postern dev', 'addresses, credentials for local play and a curl line are printed'],
      ['postern dev --json', 'the addresses as JSON'],
    ])
    .action(
      context.action(async ({ options, end }) => {
        // Loaded only here: no other command needs Vault's program, Terraform or the stand-in.
        const { runDev } = await import('#dev/dev.ts');
        end(await runDev({ json: options.json === true }));
      }),
    );
}
