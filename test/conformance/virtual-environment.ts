import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { alone, cacheDirectory } from '#tools/part/cache.ts';

/** What the pinned packages need at least. */
const MINIMUM = [3, 11] as const;

/**
 * A Python virtual environment in the cache, with just the pinned packages, made once for each list of them.
 * @param requirements path of a list with hashes
 * @returns its folder of programs, or why there is none here
 * @throws Error when the packages can be had and don't install
 */
export async function virtualEnvironment(requirements: string): Promise<{ bin: string } | { missing: string }> {
  const version = await execa('python3', ['-c', 'import sys; print(*sys.version_info[:3], sep=".")'], { reject: false });
  if (version.failed) return { missing: 'there is no python3' };
  const [major = 0, minor = 0] = version.stdout.split('.').map(Number);
  if (major !== MINIMUM[0] || minor < MINIMUM[1]) return { missing: `python3 is ${version.stdout}; ${MINIMUM.join('.')} is needed` };

  const list = await readFile(requirements);
  const digest = createHash('sha256').update(list).update(version.stdout).digest('hex').slice(0, 16);
  const cache = cacheDirectory(process.env);
  const home = join(cache, 'conformance', `python-${digest}`);
  const bin = join(home, 'bin');
  const complete = join(home, 'complete');
  const unreachable = await alone(
    cache,
    `conformance-python-${digest}`,
    () => {},
    async () => {
      if (
        await readFile(complete).then(
          () => true,
          () => false,
        )
      )
        return undefined;
      await rm(home, { recursive: true, force: true });
      await mkdir(dirname(home), { recursive: true });
      const made = await execa('python3', ['-m', 'venv', home], { reject: false, timeout: 60_000 });
      if (made.failed) return `python3 makes no virtual environment: ${lastLine(made.stderr || made.stdout)}`;
      const installed = await execa(
        join(bin, 'python'),
        ['-m', 'pip', 'install', '--quiet', '--require-hashes', '--only-binary=:all:', '--retries=1', '-r', requirements],
        { reject: false, timeout: 180_000 },
      );
      if (!installed.failed) {
        await writeFile(complete, '');
        return undefined;
      }
      if (/connection broken|ConnectionError|ConnectTimeout|name resolution|timed out/i.test(installed.stderr))
        return "the package registry of Python can't be reached";
      throw new Error(`the Python packages can't be installed: ${lastLine(installed.stderr)}`);
    },
  );
  return unreachable === undefined ? { bin } : { missing: unreachable };
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? '';
