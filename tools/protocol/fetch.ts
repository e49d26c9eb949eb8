import { copyFile, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { checkout, versions } from '#tools/part/version.ts';

/** Where HashiCorp's own definitions lie: Go module -> [folder that its files import each other by, files]. */
const FILES = {
  'github.com/hashicorp/vault/sdk': [
    'sdk',
    [
      'plugin/pb/backend.proto',
      'logical/event.proto',
      'logical/identity.proto',
      'logical/plugin.proto',
      'logical/version.proto',
      'helper/pluginutil/multiplexing.proto',
    ],
  ],
  'github.com/hashicorp/go-plugin': [
    'go-plugin',
    ['internal/plugin/grpc_broker.proto', 'internal/plugin/grpc_controller.proto', 'internal/plugin/grpc_stdio.proto'],
  ],
} as const;

/**
 * Copies the definitions of the Vault that is pinned here into a folder, out of the Go modules that it is built from:
 * Go's own cache, or the user's module proxy, with the checksums of `tools/vault/go.sum`.
 * @returns module -> version
 * @throws Error when Go is missing, or can't get the modules
 */
export async function fetchUpstream(into: string, env: NodeJS.ProcessEnv = process.env): Promise<Map<string, string>> {
  const home = join(checkout, versions.vault.goModule);
  const got = await execa('go', ['mod', 'download', '-json', ...Object.keys(FILES)], {
    cwd: home,
    env: { ...env, GOFLAGS: '-mod=readonly', GOWORK: 'off' },
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
  });
  if (got.code === 'ENOENT')
    throw new Error(
      'Go is not installed: the definitions that ours are compared with come out of the Go modules of Vault (tools/vault/go.mod)',
    );
  if (got.failed)
    throw new Error(`Go can't get the modules of Vault that hold its definitions: ${`${got.stderr}${got.stdout}`.slice(-600)}`);
  // One JSON object after the other.
  const modules = JSON.parse(`[${got.stdout.replaceAll(/^\}\n\{/gm, '},{')}]`) as {
    Path: keyof typeof FILES;
    Version: string;
    Dir: string;
  }[];
  for (const { Path, Dir } of modules) {
    const [root, files] = FILES[Path];
    for (const file of files) {
      await mkdir(dirname(join(into, root, file)), { recursive: true });
      await copyFile(join(Dir, file), join(into, root, file));
    }
  }
  return new Map(modules.map(({ Path, Version }) => [Path, Version]));
}
