import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import type { Line } from './line.ts';

const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url));

/** The conformance test of the three OpenAPI documents, whose figures these are. */
export async function measureSchemathesis(report: (line: string) => void): Promise<Line> {
  report('schemathesis: the admin API, the self-service API and the OAuth endpoints');
  const { all, failed } = await execa(
    process.execPath,
    ['node_modules/vitest/vitest.mjs', 'run', '--project', 'conformance', 'test/conformance/schemathesis.test.ts'],
    { cwd: CHECKOUT, reject: false, all: true, timeout: 900_000, env: { POSTERN_TEST_EXAMPLES: '20', POSTERN_TEST_SELF_EXAMPLES: '1500' } },
  );
  const found = [...all.matchAll(/schemathesis: (\d+) cases of (\d+) operations, (\d+) failures/g)].map(
    (match) => match.slice(1).map(Number) as [number, number, number],
  );
  const sum = (index: 0 | 1 | 2): number => found.reduce((total, row) => total + row[index], 0);
  return {
    what: 'schemathesis failures, admin API, self-service API and OAuth endpoints',
    goal: '0',
    measured:
      found.length === 3
        ? `${sum(2)} in ${sum(0)} cases (${found.map(([cases]) => cases).join(', ')}) of ${sum(1)} operations`
        : 'it did not come to its end',
    reached: !failed && found.length === 3 && sum(2) === 0,
  };
}
