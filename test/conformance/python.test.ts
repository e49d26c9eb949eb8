import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { alone, cacheDirectory } from '#tools/part/cache.ts';
import { describeProgram } from './program.ts';
import type { Outcome, Program } from './program.ts';

const REQUIREMENTS = fileURLToPath(new URL('python/requirements.txt', import.meta.url));
const CLIENT = fileURLToPath(new URL('python/client.py', import.meta.url));
/** What the pinned packages need at least. */
const MINIMUM = [3, 11] as const;

describeProgram({
  client: 'Authlib',
  prepare,
  methods: ['client_secret_post', 'client_secret_basic'],
  errorClass: 'OAuthError',
  tellsStatus: false,
  verifiers: {
    pyjwt: ['orders', 'reports', 'billing', 'stock'],
    joserfc: ['orders', 'reports', 'billing', 'stock'],
    // Authlib's own validator of access tokens takes RFC 9068's alone, which is why an API can have that dialect.
    rfc9068: ['billing', 'stock'],
  },
});

/** A virtual environment in the cache, with just the pinned packages, made once for each list of them. */
async function prepare(): Promise<Program> {
  const version = await execa('python3', ['-c', 'import sys; print(*sys.version_info[:3], sep=".")'], { reject: false });
  if (version.failed) return { missing: 'there is no python3' };
  const [major = 0, minor = 0] = version.stdout.split('.').map(Number);
  if (major !== MINIMUM[0] || minor < MINIMUM[1]) return { missing: `python3 is ${version.stdout}; ${MINIMUM.join('.')} is needed` };

  const list = await readFile(REQUIREMENTS);
  const digest = createHash('sha256').update(list).update(version.stdout).digest('hex').slice(0, 16);
  const cache = cacheDirectory(process.env);
  const home = join(cache, 'conformance', `python-${digest}`);
  const python = join(home, 'bin', 'python');
  const complete = join(home, 'complete');
  const unreachable = await alone(cache, 'conformance-python', () => {}, async () => {
    if (await readFile(complete).then(() => true, () => false)) return undefined;
    await rm(home, { recursive: true, force: true });
    await mkdir(dirname(home), { recursive: true });
    const made = await execa('python3', ['-m', 'venv', home], { reject: false, timeout: 60_000 });
    if (made.failed) return `python3 makes no virtual environment: ${lastLine(made.stderr || made.stdout)}`;
    const installed = await execa(python, ['-m', 'pip', 'install', '--quiet', '--require-hashes', '--only-binary=:all:', '--retries=1', '-r', REQUIREMENTS], { reject: false, timeout: 180_000 });
    if (!installed.failed) {
      await writeFile(complete, '');
      return undefined;
    }
    if (/connection broken|ConnectionError|ConnectTimeout|name resolution|timed out/i.test(installed.stderr)) return 'the package registry of Python can\'t be reached';
    throw new Error(`the Python packages can't be installed: ${lastLine(installed.stderr)}`);
  });
  if (unreachable !== undefined) return { missing: unreachable };
  return {
    async run(task) {
      // Nothing of the user's own Python settings: proxies are for the registry, not for loopback.
      const { stdout } = await execa(python, ['-I', CLIENT], { input: JSON.stringify(task), env: { PATH: process.env['PATH'] ?? '' }, extendEnv: false, timeout: 60_000 });
      return JSON.parse(stdout) as Outcome;
    },
  };
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? '';
