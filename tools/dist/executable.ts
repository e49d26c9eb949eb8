import { chmod, copyFile, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { execa } from 'execa';
import type { Report } from '#tools/part/part.ts';

/**
 * What Node looks for in its own file to know that it is an application:
 * https://nodejs.org/docs/latest-v24.x/api/single-executable-applications.html
 */
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';
const RESOURCE = 'NODE_SEA_BLOB';

export interface ExecutableOptions {
  /** The file of the bundle. */
  script: string;
  /** Where the executable goes; a running one is replaced, not overwritten. */
  file: string;
  /** Options of Node that the script runs with. */
  execArgv?: readonly string[];
  report: Report;
}

/**
 * Makes one executable of a CommonJS script: the Node that runs this, with the script inside. It runs on this platform
 * only, and on machines with the C library that Node itself needs. `NODE_OPTIONS` has no effect on it.
 *
 * The same script, Node and strip give the same bytes. That is why no compiled code is put in: V8 makes it different
 * each time, and it would save a few hundredths of a second at the start.
 * @throws Error with what the failing tool said
 */
export async function makeExecutable({ script, file, execArgv = [], report }: ExecutableOptions): Promise<void> {
  const scratch = await mkdtemp(join(dirname(file), '.executable-'));
  try {
    // Names without folders: they are written into the executable.
    const main = `${basename(file)}.cjs`;
    await copyFile(script, join(scratch, main));
    const config = {
      main,
      output: 'blob',
      disableExperimentalSEAWarning: true,
      useCodeCache: false,
      execArgv,
      execArgvExtension: 'none',
    };
    await writeFile(join(scratch, 'config.json'), JSON.stringify(config));
    await run(process.execPath, ['--experimental-sea-config', 'config.json'], scratch);
    const executable = join(scratch, 'executable');
    await copyFile(process.execPath, executable);
    await chmod(executable, 0o755);
    // Before the script is put in: strip would take it out again.
    await strip(executable, scratch, report);
    if (process.platform === 'darwin') await run('codesign', ['--remove-signature', executable], scratch);
    await inject(executable, join(scratch, 'blob'), scratch);
    if (process.platform === 'darwin') await run('codesign', ['--sign', '-', executable], scratch);
    await rename(executable, file);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function strip(executable: string, scratch: string, report: Report): Promise<void> {
  const result = await execa('strip', [process.platform === 'darwin' ? '-x' : '--strip-all', executable], {
    cwd: scratch,
    reject: false,
    stdin: 'ignore',
  });
  if (!result.failed) return;
  const why = result.code === 'ENOENT' ? 'strip (binutils) is not installed' : `strip failed: ${result.stderr.slice(0, 200)}`;
  report(`the executable keeps Node's debugging symbols, about 18 MB: ${why}`);
  // A strip that broke off may have left half a file.
  await copyFile(process.execPath, executable);
}

/** A process of its own: postject writes warnings about the sections of Node's file to our output, which mean nothing. */
async function inject(executable: string, blob: string, scratch: string): Promise<void> {
  const cli = join(dirname(createRequire(import.meta.url).resolve('postject')), 'cli.js');
  await run(
    process.execPath,
    [
      cli,
      executable,
      RESOURCE,
      blob,
      '--sentinel-fuse',
      FUSE,
      ...(process.platform === 'darwin' ? ['--macho-segment-name', 'NODE_SEA'] : []),
    ],
    scratch,
  );
  if (!(await readFile(executable)).includes(`${FUSE}:1`)) throw new Error('postject did not put the script into the executable');
}

async function run(program: string, args: readonly string[], cwd: string): Promise<void> {
  const result = await execa(program, args, { cwd, reject: false, stdin: 'ignore', all: true, env: { NODE_OPTIONS: undefined } });
  if (result.failed) throw new Error(`${program} failed: ${(result.all || (result.shortMessage ?? '')).slice(-600)}`);
}
