import { join } from 'node:path';
import { alone, cacheDirectory, place } from '#tools/part/cache.ts';
import { buildFromGoModule } from '#tools/part/gobuild.ts';
import { executable } from '#tools/part/program.ts';
import { versions } from '#tools/part/version.ts';

/**
 * HashiCorp's own kv engine as an external plugin: `POSTERN_KV_PLUGIN_BIN`, the cache, or a build from the Go module that
 * Vault itself pins. No release of it as a plugin is published.
 * @returns the path of the executable
 */
export async function findKvPlugin(report: (line: string) => void): Promise<string> {
  const given = process.env['POSTERN_KV_PLUGIN_BIN'];
  if (given) return given;
  const cache = cacheDirectory(process.env);
  const file = 'vault-plugin-secrets-kv';
  const home = join(cache, 'bin', file, versions.vault.goVersion, file);
  if (await executable(home)) return home;
  const pin = { ...versions.vault, goPackage: `github.com/hashicorp/${file}/cmd/${file}` };
  return alone(cache, file, report, async () =>
    (await executable(home)) ? home : place(cache, home, (into) => buildFromGoModule({ pin, name: file, into, file }, process.env, report)),
  );
}
