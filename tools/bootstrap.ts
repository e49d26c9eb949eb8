import { findOpenBao } from './part/openbao.ts';
import { findProviders, findTerraform } from './part/terraform.ts';
import { findVault } from './part/vault.ts';

/**
 * `make bootstrap`: finds or makes every real part, all at the same time, and says which version of each is used,
 * from where, and how long that took. Ends with 1 when one is missing. What only tests need (Docker, gateways) is
 * found by the tests.
 */
const faults = new Set<string>();

type Row = [part: string, version: string, from: string, path: string];

/** The rows of a search, with the seconds that it took; one row that says so when nothing was found. */
async function timed(name: string, search: () => Promise<Row[]>): Promise<string[][]> {
  const start = Date.now();
  let rows: Row[];
  try {
    rows = await search();
  } catch (error) {
    // What can't be written is the same for all of them.
    const { message } = error as Error;
    if (!faults.has(message)) console.error(message);
    faults.add(message);
    process.exitCode = 1;
    rows = [[name, '-', 'MISSING', '-']];
  }
  const seconds = ((Date.now() - start) / 1000).toFixed(1);
  return rows.map(([part, version, from, path]) => [part, version, from, seconds, path]);
}

const table = [
  ['part', 'version', 'from', 'seconds', 'path'],
  ['node', process.versions.node, 'package', '0.0', process.execPath],
  ...(
    await Promise.all([
      timed('vault', async () => {
        const { name, version, origin, path } = await findVault();
        return [[name, version, origin, path]];
      }),
      timed('openbao', async () => {
        const { name, version, origin, path } = await findOpenBao();
        return [[name, version, origin, path]];
      }),
      timed('terraform', async () => {
        const { name, version, origin, path } = await findTerraform();
        return [[name, version, origin, path]];
      }),
      timed('providers', async () => {
        const { parts } = await findProviders();
        return parts.map(({ name, version, origin, path }) => [`provider ${name}`, version, origin, path]);
      }),
    ])
  ).flat(),
];
const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0))) ?? [];
for (const row of table)
  console.log(
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
