import { setTimeout as sleep } from 'node:timers/promises';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { call } from './call.ts';
import { findMount } from './mounts.ts';
import type { PluginMount } from './mounts.ts';

/** How long a reload may take to be seen, ms. */
const RELOAD_MS = 15_000;

/** Whether the mount runs what was asked for: by Vault's word, and by the plugin's own answer. */
export async function verify(
  access: VaultAccess,
  { mount, version, sha256 }: { mount: string; version: string; sha256: string },
): Promise<void> {
  await awaitRunning(access, mount, (found) => found.version === version && isRunning(found, { version, sha256 }));
  const info = await call(access, `read ${mount}/info`, ({ client, as }) => client.read(`${mount}/info`, as));
  const told = info?.data?.['version'];
  if (told !== version)
    throw new PosternError(
      'misconfigured',
      `${mount}/info says that ${typeof told === 'string' ? told : 'no version'} runs, not ${version}`,
      { detail: 'Is the executable the one that was registered, on the node that answered?' },
    );
}

/** @throws {PosternError} misconfigured after 15 s */
export async function awaitRunning(access: VaultAccess, path: string, wanted: (mount: PluginMount) => boolean): Promise<void> {
  for (const deadline = performance.now() + RELOAD_MS; ; await sleep(100)) {
    const found = await findMount(access, path);
    if (found !== undefined && wanted(found)) return;
    if (performance.now() > deadline) {
      throw new PosternError(
        'misconfigured',
        `${path}/ runs ${found?.running.version || 'nothing'} (sha256 ` +
          `${found?.running.sha256.slice(0, 12) || 'none'}…), not what was asked for`,
        { detail: "Vault's log says why." },
      );
    }
  }
}

export function isRunning({ running }: PluginMount, { version, sha256 }: { version: string; sha256: string }): boolean {
  return running.version === version && running.sha256 === sha256;
}
