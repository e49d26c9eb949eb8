import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkout } from '#tools/part/version.ts';
import { FOLDER, dashboards } from './dashboards.ts';

/** `make generate`: writes Grafana's dashboards. */
await mkdir(join(checkout, FOLDER), { recursive: true });
for (const [name, text] of dashboards) {
  await writeFile(join(checkout, FOLDER, name), text);
  console.log(`${FOLDER}/${name}`);
}
