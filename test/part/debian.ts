import { execa } from 'execa';
import type { Report } from '#tools/part/part.ts';
import { withProgress } from '#tools/part/progress.ts';

/** apt-get that waits for another one's lock, and not for ever for a mirror. The result tells whether it failed, and what it said. */
export function aptGet(args: readonly string[], { env, cwd, timeoutMs }: { env: NodeJS.ProcessEnv; cwd?: string; timeoutMs: number }) {
  return execa('apt-get', ['-q', '-o', 'DPkg::Lock::Timeout=120', '-o', 'Acquire::http::Timeout=15', ...args], {
    env,
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
    all: true,
    timeout: timeoutMs,
    ...(cwd === undefined ? {} : { cwd }),
  });
}

/**
 * Installs packages, which only root can.
 * @param doing for the progress line
 * @throws Error with the end of what apt-get said
 */
export async function installPackages(
  doing: string,
  packages: readonly string[],
  { env, report, timeoutMs }: { env: NodeJS.ProcessEnv; report: Report; timeoutMs: number },
): Promise<void> {
  const apt = (...args: string[]) => aptGet(['-y', ...args], { env: { ...env, DEBIAN_FRONTEND: 'noninteractive' }, timeoutMs });
  await withProgress(doing, report, async () => {
    const install = () => apt('install', '--no-install-recommends', ...packages);
    let result = await install();
    // Package lists that are missing or old are the usual reason.
    if (result.failed && !(await apt('update')).failed) result = await install();
    if (result.failed) throw new Error(`apt-get install failed: ${(result.all ?? '').slice(-400)}`);
  });
}
