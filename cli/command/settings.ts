import { Option } from 'commander';
import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import { MOUNT_PATH, MOUNTS, mountsFrom } from '#broker/mounts.ts';
import type { Mounts } from '#broker/mounts.ts';
import type { Terminal } from '#cli/output.ts';

export interface GlobalOptions {
  json?: boolean;
  vaultAddr: string;
  namespace?: string;
  cacert?: string;
  vaultProxy?: string;
}

/** POSTERN_KV_MOUNT -> --kv-mount */
function flagOf(variable: string): string {
  return `--${variable
    .replace(/^POSTERN_/, '')
    .toLowerCase()
    .replaceAll('_', '-')}`;
}

/** The options that every command knows; each can also be set in the environment, under the name that vault or the broker reads. */
export function addGlobalOptions(program: Command, env: Terminal['env']): void {
  const option = (flags: string, variable: string, description: string, fallback?: string): void => {
    const made = new Option(flags, `${description} [$${variable}]`);
    // Not commander's own `env()`, which reads the whole process's.
    const value = env[variable] || fallback;
    if (value !== undefined) made.default(value, fallback === undefined ? 'none' : fallback);
    program.addOption(made);
  };
  program.option('--json', 'one JSON document on stdout, and nothing else there');
  option('--vault-addr <url>', 'VAULT_ADDR', 'address of Vault', 'http://127.0.0.1:8200');
  option('--namespace <name>', 'VAULT_NAMESPACE', 'namespace of Vault Enterprise or HCP');
  option('--cacert <file>', 'VAULT_CACERT', "PEM file of the CA that signed Vault's certificate; believed for the broker's too");
  option('--vault-proxy <url>', 'POSTERN_VAULT_PROXY', 'proxy in front of Vault; one with a password only by the variable');
  for (const { variable, fallback, holds } of Object.values(MOUNTS))
    if (variable !== undefined) option(`${flagOf(variable)} <${holds.startsWith('mount') ? 'path' : 'name'}>`, variable, holds, fallback);
}

/** Each name in Vault as its option says. @throws {PosternError} invalid_request */
export function mountsOf(options: GlobalOptions): Mounts {
  const given: Readonly<Record<string, unknown>> = { ...options };
  const mounts = mountsFrom((variable) => given[new Option(flagOf(variable)).attributeName()]);
  const wrong = Object.entries(mounts).find(([, path]) => !MOUNT_PATH.test(path));
  if (wrong !== undefined)
    throw new PosternError('invalid_request', `"${wrong[1]}" is not a mount path or name`, {
      detail: 'Letters, digits, _ and -, parts separated by /, no slash at either end.',
    });
  return mounts;
}
