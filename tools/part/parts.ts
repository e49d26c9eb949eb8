import { type Part, type Report, toStderr } from './part.ts';
import { findServer } from './server.ts';
import { findProviders, findTerraform } from './terraform.ts';

export interface Parts {
  /** Vault, or OpenBao where the environment asks for that. */
  vault: Part;
  terraform: Part;
  providers: { parts: Part[]; env: Record<string, string> };
}

/**
 * Every real part that Postern can't do without, looked for at the same time: where they must be built, the
 * modules of one are fetched while the other compiles.
 *
 * @throws PosternError `misconfigured` of the first that can't be had, once all have been looked for.
 */
export async function findParts(report: Report = toStderr, env: NodeJS.ProcessEnv = process.env): Promise<Parts> {
  const vaultSought = findServer(report, env);
  const terraformSought = findTerraform(report, env);
  const providersSought = findProviders(report, env);
  // A failure must not leave a build running that nobody waits for.
  await Promise.allSettled([vaultSought, terraformSought, providersSought]);
  return { vault: await vaultSought, terraform: await terraformSought, providers: await providersSought };
}
