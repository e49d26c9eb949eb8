import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkout } from '#tools/part/version.ts';
import { PAGES, buildConsole } from './build.ts';

/** `make console`: builds the operators' console from `console/` into the broker. */
await writeFile(join(checkout, PAGES), await buildConsole());
console.log(PAGES);
