import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { describeProgram } from './program.ts';
import type { Outcome, Program } from './program.ts';
import { virtualEnvironment } from './virtual-environment.ts';

const REQUIREMENTS = fileURLToPath(new URL('python/requirements.txt', import.meta.url));
const CLIENT = fileURLToPath(new URL('python/client.py', import.meta.url));

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

async function prepare(): Promise<Program> {
  const environment = await virtualEnvironment(REQUIREMENTS);
  if ('missing' in environment) return environment;
  return {
    async run(task) {
      // Nothing of the user's own Python settings: proxies are for the registry, not for loopback.
      const { stdout } = await execa(join(environment.bin, 'python'), ['-I', CLIENT], {
        input: JSON.stringify(task),
        env: { PATH: process.env['PATH'] ?? '' },
        extendEnv: false,
        timeout: 60_000,
      });
      return JSON.parse(stdout) as Outcome;
    },
  };
}
