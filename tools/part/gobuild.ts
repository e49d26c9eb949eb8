import { chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { cleanEnvironment } from '#tools/process/environment.ts';
import { runGroup } from '#tools/process/group.ts';
import { Unwritable } from '#tools/process/storage.ts';
import { goPlatform } from './download.ts';
import type { Report } from './part.ts';
import { withProgress } from './progress.ts';
import { checkout, type GoPin } from './version.ts';

export interface GoBuild {
  pin: GoPin;
  /** What it is, for the progress lines. */
  name: string;
  tags?: string;
  /** Default false. Parts of it are in C, so that a C compiler is needed and the program isn't static. */
  cgo?: boolean;
  /** Folder that receives the file. */
  into: string;
  file: string;
  /** Default true. A program that only waits for others is built in little more than half the time without it. */
  optimize?: boolean;
  /** Go variables that a release's build sets, `package.Name=value`: some programs learn their own version so. */
  stamps?: readonly string[];
}

/**
 * Builds a static program from a pinned Go module of `tools/`; `go.sum` holds every checksum.
 * Go fetches by the user's own settings, a newer toolchain included where `GOTOOLCHAIN` lets it; what changes the result is ours.
 *
 * @returns the path of the executable.
 * @throws Error when Go is missing or the build fails, with the end of what Go wrote; Unwritable when its disk is full.
 */
export async function buildFromGoModule(build: GoBuild, env: NodeJS.ProcessEnv, report: Report): Promise<string> {
  const [GOOS = '', GOARCH = ''] = goPlatform().split('_');
  // Not left empty: Go would take them from its own file of settings.
  const clean = {
    ...cleanEnvironment(env, 'go'),
    GOOS,
    GOARCH,
    GOFLAGS: '-mod=readonly',
    GO111MODULE: 'on',
    GOWORK: 'off',
    CGO_ENABLED: build.cgo === true ? '1' : '0',
  };
  const probe = await execa('go', ['version'], { env: clean, extendEnv: false, reject: false });
  if (probe.failed) throw new Error('Go is not installed (it is needed only where nothing can be downloaded)');
  const output = join(build.into, build.file);
  await withProgress(`${build.name}: building ${build.pin.goPackage} ${build.pin.goVersion} from its Go module`, report, async (note) => {
    const result = await runGroup(
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
        `-ldflags=${['-s', '-w', ...(build.stamps ?? []).flatMap((stamp) => ['-X', stamp])].join(' ')}`,
        '-o',
        output,
        build.pin.goPackage,
      ],
      {
        cwd: join(checkout, build.pin.goModule),
        // The compiler collects its garbage too eagerly for processes that live for seconds.
        env: { ...clean, GOGC: '400' },
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
      // Go leaves its folder there when it is killed.
      { temporary: env['GOTMPDIR'] || env['TMPDIR'] || tmpdir() },
    );
    if (result.failed && /no space left on device|disk quota exceeded/.test(result.all ?? ''))
      throw new Unwritable(
        '`go env GOCACHE GOMODCACHE`, GOTMPDIR',
        { what: "What Go makes of the part's source", remedy: 'Make room there: a part needs up to 3 GB while it is built.' },
        'the disk is full',
      );
    if (result.failed) throw new Error(`go build failed: ${(result.all ?? result.shortMessage ?? '').slice(-600)}`);
  });
  await chmod(output, 0o755);
  return output;
}
