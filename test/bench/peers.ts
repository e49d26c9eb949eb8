import { join } from 'node:path';
import { alone, cacheDirectory, place } from '#tools/part/cache.ts';
import { buildFromGoModule } from '#tools/part/gobuild.ts';
import type { GoBuild } from '#tools/part/gobuild.ts';
import { executable } from '#tools/part/program.ts';
import { versions } from '#tools/part/version.ts';
import type { GoPin } from '#tools/part/version.ts';

type Report = (line: string) => void;

/** HashiCorp's own kv engine as an external plugin, of the Go module that Vault itself pins. No release of it as a plugin is published. */
export function findKvPlugin(report: Report): Promise<string> {
  const name = 'vault-plugin-secrets-kv';
  return find(name, { ...versions.vault, goPackage: `github.com/hashicorp/${name}/cmd/${name}` }, 'POSTERN_KV_PLUGIN_BIN', report);
}

/** Puppet's secrets engine for OAuth 2.0, in Go: our plugin's nearest relative. */
export function findOauthapp(report: Report): Promise<string> {
  return find('vault-plugin-secrets-oauthapp', versions.oauthapp, 'POSTERN_OAUTHAPP_BIN', report);
}

/** Ory's authorization server, in Go, with the database that it has in memory, which is in C. */
export function findHydra(report: Report): Promise<string> {
  return find('hydra', versions.hydra, 'POSTERN_HYDRA_BIN', report, { tags: 'sqlite', cgo: true });
}

/** What is only measured beside us: named by the variable, in the cache, or built from its Go module. @returns the executable's path */
async function find(
  file: string,
  pin: GoPin,
  variable: string,
  report: Report,
  options: Pick<GoBuild, 'tags' | 'cgo'> = {},
): Promise<string> {
  const given = process.env[variable];
  if (given) return given;
  const cache = cacheDirectory(process.env);
  const home = join(cache, 'bin', file, pin.goVersion, file);
  if (await executable(home)) return home;
  return alone(cache, file, report, async () =>
    (await executable(home))
      ? home
      : place(cache, home, (into) => buildFromGoModule({ pin, name: file, into, file, ...options }, process.env, report)),
  );
}
