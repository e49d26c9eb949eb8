import { defineConfig } from 'vitest/config';
import { NOT_ON_OPENBAO, ON_OPENBAO } from './test/openbao.ts';

/** Tests of the real parts wait for Vault, Terraform and containers, on a small machine two at a time. */
const real = { testTimeout: 180_000, hookTimeout: 240_000, sequence: { groupOrder: 0 } };
/**
 * What these promise are seconds on a clock: they wait more than they work, and run after what takes all of the processor, a compiler, a
 * browser or Terraform. Two of them at a time leave two thirds of two processors alone.
 */
const clocked = { ...real, maxWorkers: 3, sequence: { groupOrder: 1 } };
const CLOCKED = [
  'api-key',
  'departure',
  'introspection',
  'key-rotation',
  'life-cycle',
  'life-cycle.interleavings',
  'outage',
  'plugin-protocol',
  'revocation',
  'rotation',
  'shutdown',
  'sidecar',
  'user-keys',
].map((name) => `test/integration/${name}.test.ts`);

const project = (name: string, more: object) => ({
  extends: true as const,
  test: { name, include: [`test/${name}/**/*.test.ts`], ...more },
});

/** Faults on real processes take long and root, so that they run only where somebody asks (`make faults`). */
const faults = process.env['POSTERN_TEST_FAULTS'] === 'whole' ? [project('fault', { ...real, testTimeout: 900_000 })] : [];

export default defineConfig({
  test: {
    environment: 'node',
    pool: 'forks',
    maxWorkers: 2,
    globalSetup: ['./test/run.ts'],
    reporters: ['default', './test/reporter.ts'],
    // A test that waits for ever must not hold up the others for ever.
    teardownTimeout: 60_000,
    // What is waited for comes; on a loaded machine it comes later than vitest's one second.
    expect: { poll: { timeout: 15_000 } },
    projects: [
      // One worker runs many files, which share the modules that they import: half the time goes into loading them.
      project('unit', { testTimeout: 30_000, hookTimeout: 60_000, isolate: false, sequence: { groupOrder: 0 } }),
      // The finders of real parts and the machinery of the tests themselves: they start programs.
      project('tools', { testTimeout: 30_000, hookTimeout: 60_000, sequence: { groupOrder: 0 } }),
      // What `make lint` runs beside the linters.
      project('lint', { testTimeout: 60_000, hookTimeout: 60_000, sequence: { groupOrder: 0 } }),
      // Brokers over a simulated world, from seeds (`make simulate`).
      project('simulation', { testTimeout: 60_000, hookTimeout: 60_000, sequence: { groupOrder: 0 } }),
      project('integration', { ...real, exclude: ['test/integration/openbao.test.ts', ...CLOCKED] }),
      project('clocked', { ...clocked, include: CLOCKED }),
      // The same tests once more, with the replicas' tokens in the secrets plugin in place of KV.
      project('plugin-store', {
        ...clocked,
        include: ['exchange', 'revocation', 'outage', 'rotation', 'shutdown', 'introspection'].map(
          (name) => `test/integration/${name}.test.ts`,
        ),
        env: { POSTERN_TEST_TOKEN_STORE: 'plugin' },
      }),
      // Those of them that may go otherwise there, once more on OpenBao; or all.
      project('openbao', {
        ...real,
        include: process.env['POSTERN_TEST_OPENBAO'] === 'all' ? ['test/integration/**/*.test.ts'] : ON_OPENBAO,
        exclude: Object.keys(NOT_ON_OPENBAO),
        env: { POSTERN_VAULT_PRODUCT: 'openbao' },
      }),
      project('conformance', real),
      project('e2e', real),
      ...faults,
      // Searches what all the others have written, so it runs after them.
      project('leaks', { testTimeout: 600_000, sequence: { groupOrder: 2 } }),
    ],
  },
});
