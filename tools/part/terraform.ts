import { firstOf, type Part, type Report, toStderr } from './part.ts';
import { programWays } from './program.ts';
import { providersFor } from './provider.ts';
import { versions } from './version.ts';

/**
 * Terraform: `POSTERN_TERRAFORM_BIN`, PATH, the cache, the official release, the pinned Go module.
 *
 * @throws PosternError `misconfigured` with the reason of each way when none works.
 */
export function findTerraform(report: Report = toStderr, env: NodeJS.ProcessEnv = process.env): Promise<Part> {
  const program = {
    file: 'terraform',
    pin: versions.terraform,
    variable: 'POSTERN_TERRAFORM_BIN',
    // Without it a build calls itself a development version.
    linker: '-X github.com/hashicorp/terraform/version.dev=no',
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
