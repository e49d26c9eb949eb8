import { PosternError } from '#broker/error.ts';
import type { VaultAccess, VaultCall } from '#broker/operator/access.ts';
import { VaultFault } from '#broker/vault-fault.ts';

/** Vault's words about an executable -> what is wrong, and what to do. It answers all of these with 400 or 500. */
const WORDS: readonly (readonly [words: RegExp, message: string, remedy: string])[] = [
  [
    /cannot execute files outside/,
    "The executable is a symlink, or Vault's plugin directory is reached by one, and Vault runs nothing from there",
    'Set plugin_directory to the real path, put the file itself there, and run this again.',
  ],
  [
    /not owned by/,
    "The executable or the plugin directory is not owned by Vault's user",
    "chown both to Vault's user, or set plugin_file_uid in Vault's configuration.",
  ],
  [
    /insecure permissions|does not have permissions/,
    'Others than its owner may write to the executable or into the plugin directory',
    "Run chmod go-w on both, or set plugin_file_permissions in Vault's configuration.",
  ],
  [
    /checksums did not match/,
    'The executable in the plugin directory is another one than the registered: their sha256 differ',
    'Copy the right one there, on every node; with --plugin-directory it is done on this machine.',
  ],
  [
    /plugin directory (is )?not configured|directory is not configured/i,
    'Vault has no plugin directory, so it runs no plugin',
    'Set plugin_directory in the configuration of every node, and restart them.',
  ],
  [
    /exec format error/,
    'The executable is made for another kind of machine than the one that Vault runs on',
    'Run `make plugin` on a machine of that kind, or install the script postern-auth0.cjs.',
  ],
  [/permission denied/, "Vault's user may not execute the file", 'Run chmod 0755 on it; and its disk must not be mounted noexec.'],
  [
    /no such file or directory/,
    'The executable is not in the plugin directory of the node that answered, or what it needs to run is missing there',
    'Copy it there on every node, or name the directory with --plugin-directory where it is on this machine.',
  ],
  [
    /did not match requested version|version mismatch/,
    'The executable says another version of itself',
    'Leave --plugin-version out, or name the version that it was built as.',
  ],
  [
    /Unrecognized remote plugin message|plugin exited before|unable to run/i,
    'Vault cannot start the plugin',
    "Vault's log says what it wrote. The script postern-auth0.cjs needs Node 24 on the PATH of Vault.",
  ],
];

/** As `access.call`, with a remedy for what Vault says of plugins. @throws {PosternError} */
export function call<T>(access: VaultAccess, doing: string, work: (vault: VaultCall) => Promise<T>): Promise<T> {
  return access.call(doing, async (vault) => {
    try {
      return await work(vault);
    } catch (error) {
      if (!(error instanceof VaultFault)) throw error;
      if (error.reason === 'denied') {
        throw new PosternError('access_denied', `Vault refuses to ${doing} (permission denied)`, {
          detail: 'Installing plugins is for platform engineers: docs/plugin.md has the policy that your token needs.',
        });
      }
      const known = WORDS.find(([words]) => words.test(error.message));
      if (known === undefined) throw error;
      throw new PosternError('misconfigured', known[1], { detail: known[2] });
    }
  });
}
