import { firstOf, type Part, type Report, toStderr } from './part.ts';
import { programWays } from './program.ts';
import { providersFor } from './provider.ts';
import { versions } from './version.ts';

/**
 * Terraform: `POSTERN_TERRAFORM_BIN`, PATH, the cache, the official release, the pinned Go module.
 *
 * The Go module is 1.5.7, the oldest that Postern works with: later releases keep parts of themselves in modules
 * that are not published, so they can't be built this way.
 *
 * @throws PosternError `misconfigured` with the reason of each way when none works.
 */
export function findTerraform(report: Report = toStderr, env: NodeJS.ProcessEnv = process.env): Promise<Part> {
  const program = {
    file: 'terraform',
    pin: versions.terraform,
    variable: 'POSTERN_TERRAFORM_BIN',
  } as const;
  return firstOf('terraform', programWays(program, env, report), report);
}

/**
 * The Terraform providers that `terraform/` needs, and the environment in which Terraform uses them.
 *
 * @throws PosternError `misconfigured` with the reason of each way when none works.
 */
export async function findProviders(
  report: Report = toStderr,
  env: NodeJS.ProcessEnv = process.env,
): Promise<{ parts: Part[]; env: Record<string, string> }> {
  return providersFor(await findTerraform(report, env), report, env);
}
