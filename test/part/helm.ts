import { execa } from 'execa';
import { firstOf, toStderr } from '#tools/part/part.ts';
import type { Part, Report } from '#tools/part/part.ts';
import { versions } from '#tools/part/version.ts';
import { goBuiltWays } from './go-built.ts';

/**
 * Helm: `POSTERN_HELM_BIN`, PATH, the cache, or a build from its Go module (two minutes, once).
 * @throws PosternError `misconfigured` with the reason of each way when none works
 */
export function findHelm(report: Report = toStderr, env: NodeJS.ProcessEnv = process.env): Promise<Part> {
  // A build from the Go module calls itself v3.22 and no more.
  const program = { name: 'helm', file: 'helm', variable: 'POSTERN_HELM_BIN', pin: versions.helm, tells: ['version', '--short'] };
  return firstOf('helm', goBuiltWays(program, report, env), report);
}

/** The folder of a Go module, whose files are fetched where Go has not got them yet. @param module `path@version` */
export async function goModuleFolder(module: string, env: NodeJS.ProcessEnv = process.env): Promise<string> {
  const result = await execa('go', ['mod', 'download', '-json', module], {
    env,
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
    timeout: 300_000,
  });
  if (result.failed) throw new Error(`go mod download ${module} failed: ${(result.stderr || result.stdout).slice(-300)}`);
  return (JSON.parse(result.stdout) as { Dir: string }).Dir;
}
