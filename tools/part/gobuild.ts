import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Report } from './part.ts';
import { withProgress } from './progress.ts';
import { checkout, type GoPin } from './version.ts';

export interface GoBuild {
  pin: GoPin;
  /** What it is, for the progress lines. */
  name: string;
  tags?: string;
  /** Folder that receives the file. */
  into: string;
  file: string;
  /** Default true. A program that only waits for others is built in little more than half the time without it. */
  optimize?: boolean;
}

/**
 * Builds a static program from a pinned Go module of `tools/`; `go.sum` holds every checksum.
 * Go fetches by the user's own settings, a newer toolchain included where `GOTOOLCHAIN` lets it.
 *
 * @returns the path of the executable.
 * @throws Error when Go is missing or the build fails, with the end of what Go wrote.
 */
export async function buildFromGoModule(build: GoBuild, env: NodeJS.ProcessEnv, report: Report): Promise<string> {
  const probe = await execa('go', ['version'], { env, extendEnv: false, reject: false });
  if (probe.failed) throw new Error('Go is not installed (it is needed only where nothing can be downloaded)');
  const output = join(build.into, build.file);
  await withProgress(`${build.name}: building ${build.pin.goPackage} ${build.pin.goVersion} from its Go module`, report, async (note) => {
    const result = await execa(
      'go',
      [
        'build',
        // The checkout's own Git state says nothing about the part.
        '-buildvcs=false',
        '-mod=readonly',
        '-trimpath',
        ...(build.tags ? ['-tags', build.tags] : []),
        // No debugging tables: they are stripped at the end, and cost an eighth of the build.
        `-gcflags=all=-dwarf=false${build.optimize === false ? ' -N -l' : ''}`,
        '-ldflags=-s -w',
        '-o',
        output,
        build.pin.goPackage,
      ],
      {
        cwd: join(checkout, build.pin.goModule),
        // The compiler collects its garbage too eagerly for processes that live for seconds.
        env: { GOGC: '400', ...env, CGO_ENABLED: '0', GOWORK: 'off' },
        extendEnv: false,
        reject: false,
        stdin: 'ignore',
        all: true,
        maxBuffer: 10_000_000,
        // Go prints only downloads; the last one is the best sign of life there is.
        stderr: [
          'pipe',
          function* (line: unknown) {
            note(String(line).slice(0, 100));
            yield line;
          },
        ],
      },
    );
    if (result.failed) throw new Error(`go build failed: ${(result.all ?? result.shortMessage ?? '').slice(-600)}`);
  });
  await chmod(output, 0o755);
  return output;
}
