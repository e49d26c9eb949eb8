import { firstOf, type Part, type Report, toStderr } from './part.ts';
import { programWays } from './program.ts';
import { versions } from './version.ts';

/**
 * HashiCorp Vault: `POSTERN_VAULT_BIN`, PATH, the cache, the official release, the pinned Go module.
 *
 * @throws PosternError `misconfigured` with the reason of each way when none works.
 */
export function findVault(report: Report = toStderr, env: NodeJS.ProcessEnv = process.env): Promise<Part> {
  // `minimal` leaves out the engines of clouds and databases; all that Postern uses is in it.
  const program = { file: 'vault', pin: versions.vault, variable: 'POSTERN_VAULT_BIN', tags: 'minimal' } as const;
  return firstOf('vault', programWays(program, env, report), report);
}
