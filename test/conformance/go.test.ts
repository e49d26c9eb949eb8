import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll } from 'vitest';
import { describeProgram } from './program.ts';
import type { Outcome, Program } from './program.ts';

const MODULE = fileURLToPath(new URL('go', import.meta.url));

let folder: string | undefined;
afterAll(() => folder && rm(folder, { recursive: true, force: true }));

describeProgram({
  client: 'golang.org/x/oauth2/clientcredentials',
  prepare,
  methods: ['client_secret_post', 'client_secret_basic', 'detected'],
  errorClass: 'RetrieveError',
  tellsStatus: true,
  verifiers: {
    'go-oidc': ['orders', 'reports', 'billing', 'stock'],
    'go-jwt-middleware': ['orders', 'reports', 'billing', 'stock'],
  },
});

/** Built by the machine's Go from the module's pinned sums. */
async function prepare(): Promise<Program> {
  const version = await execa('go', ['version'], { cwd: MODULE, reject: false });
  if (version.code === 'ENOENT') return { missing: 'there is no go' };
  folder = await mkdtemp(join(tmpdir(), 'postern-go-'));
  const program = join(folder, 'client');
  const built = await execa('go', ['build', '-trimpath', '-o', program, '.'], {
    cwd: MODULE,
    env: { CGO_ENABLED: '0', GOFLAGS: '-mod=readonly -buildvcs=false' },
    reject: false,
    timeout: 200_000,
  });
  if (built.failed) {
    if (/dial tcp|no such host|i\/o timeout|connection refused|GOPROXY=off|toolchain not available/.test(built.stderr))
      return { missing: "the Go module proxy can't be reached" };
    throw new Error(`the Go client does not build: ${built.stderr}`);
  }
  return {
    async run(task) {
      const { stdout } = await execa(program, {
        input: JSON.stringify(task),
        env: { PATH: process.env['PATH'] ?? '' },
        extendEnv: false,
        timeout: 60_000,
      });
      return JSON.parse(stdout) as Outcome;
    },
  };
}
