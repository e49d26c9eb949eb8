import { realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import { readPluginDirectory } from '#broker/operator/plugin/directory.ts';
import { PLUGIN } from '#broker/operator/plugin/mounts.ts';
import type { InstallOptions, PluginResult } from '#broker/operator/plugin/install.ts';
import { placePlugin, readPluginFile } from '#broker/operator/plugin/file.ts';
import type { VaultCall } from '#cli/command/context.ts';
import type { Output } from '#cli/output.ts';

/** Put in by what bundles the sources. */
declare const POSTERN_VERSION: string | undefined;

/** Beside this very program where that is a release's, else what `make plugin` makes. */
function beside(): string {
  return typeof POSTERN_VERSION === 'string'
    ? join(dirname(realpathSync(process.argv[1] ?? process.execPath)), PLUGIN)
    : fileURLToPath(new URL('../../../dist/postern-auth0', import.meta.url));
}
const VERSION = /^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/;

/** @throws {PosternError} invalid_request where it isn't as Vault's catalogue has it */
export function checkVersion(version: string): void {
  if (!VERSION.test(version)) throw new PosternError('invalid_request', `"${version}" is not a version of the form v1.2.3`);
}

/** Options of both commands. */
export interface ExecutableOptions {
  executable?: string;
  pluginDirectory?: string;
  command?: string;
  pluginVersion?: string;
  replace?: boolean;
}

export type Placed = 'copied' | 'unchanged' | 'not on this machine';

export function addExecutableOptions(command: Command): Command {
  return command
    .option(
      '--executable <file>',
      'the plugin (default: postern-auth0 beside this program; in a checkout dist/postern-auth0, which `make plugin` builds)',
    )
    .option(
      '--plugin-directory <dir>',
      "Vault's plugin_directory, where it is on this machine: the file is copied there. Else put it there yourself, on every node",
    )
    .option('--command <name>', 'its file name there (default: postern-auth0-VERSION, so that the old one stays)')
    .option('--plugin-version <v1.2.3>', 'its version (default: as postern-auth0.json beside it says)')
    .option('--replace', 'another executable takes the place of a registered version that no mount runs');
}

/** Looks at the executable and Vault's rules, and copies it where that can be done from here. @throws {PosternError} */
export async function prepare(call: VaultCall<ExecutableOptions>): Promise<InstallOptions & { placed: Placed }> {
  const { access, options, output } = call;
  const plugin = await readPluginFile(options.executable ?? beside());
  const version = options.pluginVersion ?? plugin.version;
  if (version === undefined)
    throw new PosternError('invalid_request', 'The version of this executable is not known', {
      detail: 'Name it with --plugin-version, or keep postern-auth0.json beside it, which `make plugin` writes.',
    });
  checkVersion(version);
  const command = options.command ?? `${PLUGIN}-${version}`;
  if (!/^[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(command))
    throw new PosternError('invalid_request', `"${command}" is not a file name`, {
      detail: 'Letters, digits and . _ -; it lies directly in the plugin directory.',
    });
  output.progress("looking at Vault's plugin directory");
  const configured = await readPluginDirectory(access);
  let placed: Placed = 'not on this machine';
  if (options.pluginDirectory !== undefined) {
    output.progress(`putting ${command} into ${options.pluginDirectory}`);
    placed = await placePlugin({ plugin, directory: options.pluginDirectory, configured, command });
  }
  return {
    version,
    sha256: plugin.sha256,
    command,
    mount: access.mounts.plugin,
    placed,
    replace: options.replace === true,
    onStep: (step) => output.progress(step),
  };
}

export function tell(output: Output, result: PluginResult, placed: Placed): void {
  const { mount, version, sha256, command, registered, mounted, previous_version: previous } = result;
  const pairs: [string, string][] = [
    ['plugin', `${PLUGIN} ${version}`],
    ['sha256', sha256],
    ['executable', `${command} (${placed})`],
    ['catalogue', registered],
    ['mount', `${mount}/ (${mounted}${mounted === 'upgraded' && previous ? ` from ${previous}` : ''})`],
  ];
  output.result({ ...result, executable: placed }, output.fields(pairs));
}
