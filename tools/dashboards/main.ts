import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { checkout } from '#tools/part/version.ts';
import { FOLDER, dashboards, inChart } from './dashboards.ts';

/** `make generate`: writes Grafana's dashboards, and into the Helm chart what it carries of deploy/observability. */
async function write(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(checkout, path)), { recursive: true });
  await writeFile(join(checkout, path), text);
  console.log(path);
}

for (const [name, text] of dashboards) await write(`${FOLDER}/${name}`, text);
for (const [copy, original] of inChart) await write(copy, await readFile(join(checkout, original), 'utf8'));
