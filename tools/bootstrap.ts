import { findDocker } from './part/docker.ts';
import { findGateway } from './part/gateway.ts';
import { findProviders, findTerraform } from './part/terraform.ts';
import { findVault } from './part/vault.ts';

/**
 * `make bootstrap`: finds or makes every real part, all at the same time, and says which version of each is used,
 * from where, and how long that took. Ends with 1 when a part that Postern can't do without is missing; Docker is
 * not one, since the tests then run on the plain Vault, nor are the gateways, which only tests and the bench start.
 */
type Row = [part: string, version: string, from: string, path: string];

/** The rows of a search, with the seconds that it took; one row that says so when nothing was found. */
async function timed(name: string, search: () => Promise<Row[]>): Promise<string[][]> {
  const start = Date.now();
  let rows: Row[];
  try {
    rows = await search();
  } catch (error) {
    console.error((error as Error).message);
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
      timed('terraform', async () => {
        const { name, version, origin, path } = await findTerraform();
        return [[name, version, origin, path]];
      }),
      timed('providers', async () => {
        const { parts } = await findProviders();
        return parts.map(({ name, version, origin, path }) => [`provider ${name}`, version, origin, path]);
      }),
      ...(['nginx', 'caddy', 'envoy', 'traefik'] as const).map((gateway) =>
        timed(`${gateway} (tests only)`, async () => {
          const found = await findGateway(gateway).catch((error: Error) => void console.error(error.message));
          return [[`${gateway} (tests only)`, found?.version ?? '-', found?.origin ?? 'not here', found?.path ?? '-']];
        }),
      ),
      timed('docker (tests only)', async () => {
        const docker = await findDocker();
        await docker?.stop();
        return [docker ? ['docker (tests only)', docker.version, docker.origin, docker.host] : ['docker (tests only)', '-', 'not here', '-']];
      }),
    ])
  ).flat(),
];
const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0))) ?? [];
for (const row of table) console.log(row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd());
