import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import { readCatalogue } from '#broker/operator/plugin/catalogue.ts';
import { upgradePlugin } from '#broker/operator/plugin/upgrade.ts';
import type { Context } from '#cli/command/context.ts';
import { addExecutableOptions, checkVersion, prepare, tell } from './executable.ts';
import type { ExecutableOptions } from './executable.ts';

interface Options extends ExecutableOptions {
  to?: string;
}

export function upgradeCommand(context: Context): Command {
  const command = context.command('upgrade', 'bring a mount to another version in place; its storage is kept', [
    ['make plugin && postern plugin upgrade --plugin-directory /etc/vault/plugins', 'on a node of Vault'],
    ['postern plugin upgrade --to v0.1.0', 'back to a version that is registered, with its file still there'],
  ]);
  return addExecutableOptions(command)
    .option('--to <v1.2.3>', 'a version that is registered already, in place of an executable')
    .addHelpText(
      'after',
      '\nThe new version is first started on a mount of its own. Where the upgrade fails all the same, the ' +
        'mount goes back.\nDone again it changes nothing, and completes what was interrupted. Every node of a cluster needs the file.',
    )
    .action(
      context.vaultAction<Options>(async (call) => {
        const { access, options, output } = call;
        if (options.to === undefined) {
          const { placed, ...prepared } = await prepare(call);
          return tell(output, await upgradePlugin(access, prepared), placed);
        }
        const other = (['executable', 'pluginDirectory', 'command', 'pluginVersion', 'replace'] as const).find(
          (name) => options[name] !== undefined,
        );
        if (other !== undefined)
          throw new PosternError(
            'invalid_request',
            '--to takes a version that is registered, so nothing about an executable can be said with it',
          );
        checkVersion(options.to);
        const registered = await readCatalogue(access, options.to);
        if (registered === undefined)
          throw new PosternError('not_found', `${options.to} is not registered`, {
            detail: 'Which are: vault plugin list -detailed secret',
          });
        tell(
          output,
          await upgradePlugin(access, { ...registered, mount: access.mounts.plugin, onStep: (step) => output.progress(step) }),
          'unchanged',
        );
      }),
    );
}
