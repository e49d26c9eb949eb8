import type { Command } from 'commander';
import { installPlugin } from '#broker/operator/plugin/install.ts';
import type { Context } from '#cli/command/context.ts';
import { addExecutableOptions, prepare, tell } from './executable.ts';
import type { ExecutableOptions } from './executable.ts';

export function installCommand(context: Context): Command {
  const command = context.command('install', 'register the plugin in Vault, and mount it', [
    ['make plugin && postern plugin install --plugin-directory /etc/vault/plugins', 'on a node of Vault'],
    ['postern plugin install', 'the file is in the plugin directory already, as postern-auth0-v0.1.0'],
    [
      'postern plugin install --executable dist/postern-auth0.cjs --plugin-directory /etc/vault/plugins',
      'the script, on a host with Node 24',
    ],
    ['postern plugin install --plugin-mount platform/auth0 --json', 'at another path'],
  ]);
  return addExecutableOptions(command)
    .addHelpText('after', '\nDone again it changes nothing, and completes what was interrupted. Every node of a cluster needs the file.')
    .action(
      context.vaultAction<ExecutableOptions>(async (call) => {
        const { placed, ...options } = await prepare(call);
        const result = await installPlugin(call.access, options);
        tell(call.output, result, placed);
        if (result.mounted === 'mounted') call.output.note(`\nNext, what it may issue: vault path-help ${options.mount}`);
      }),
    );
}
