import { findDocker } from './part/docker.ts';
import type { Part } from './part/part.ts';
import { findProviders, findTerraform } from './part/terraform.ts';
import { findVault } from './part/vault.ts';

/**
 * `make bootstrap`: finds or makes every real part, and says which version of each is used, from where, and how
 * long that took. Ends with 1 when a part that Postern can't do without is missing; Docker is not one.
 */
const rows: string[][] = [['part', 'version', 'from', 'seconds', 'path']];
let missing = 0;

const timed = async (name: string, find: () => Promise<Omit<Part, 'origin'> & { origin: string } | undefined>) => {
  const start = Date.now();
  const seconds = () => ((Date.now() - start) / 1000).toFixed(1);
  try {
    const part = await find();
    rows.push(part ? [part.name, part.version, part.origin, seconds(), part.path] : [name, '-', 'not here', seconds(), '-']);
  } catch (error) {
    missing += 1;
    rows.push([name, '-', 'MISSING', seconds(), '-']);
    console.error((error as Error).message);
  }
};

rows.push(['node', process.versions.node, 'package', '0.0', process.execPath]);
await timed('vault', () => findVault());
await timed('terraform', () => findTerraform());
let start = Date.now();
try {
  for (const part of (await findProviders()).parts) {
    rows.push([`provider ${part.name}`, part.version, part.origin, ((Date.now() - start) / 1000).toFixed(1), part.path]);
    start = Date.now();
  }
} catch (error) {
  missing += 1;
  rows.push(['providers', '-', 'MISSING', ((Date.now() - start) / 1000).toFixed(1), '-']);
  console.error((error as Error).message);
}
await timed('docker (tests only)', async () => {
  const docker = await findDocker();
  await docker?.stop();
  return docker && { name: 'docker (tests only)', version: docker.version, origin: docker.origin, path: docker.host };
});

const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
for (const row of rows) console.log(row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd());
process.exitCode = missing > 0 ? 1 : 0;
