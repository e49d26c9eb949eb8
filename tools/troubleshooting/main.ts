import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkout } from '#tools/part/version.ts';
import { messages } from './messages.ts';
import { page, withoutRemedy } from './page.ts';

const PAGE = 'docs/troubleshooting.md';

/** `make generate`: writes what to do about each message from the places that say it. */
const all = await messages();
await writeFile(join(checkout, PAGE), page(all));
console.log(PAGE);
const missing = withoutRemedy(all);
if (missing.length > 0) {
  console.error(`No remedy: give the error a detail, or the message a line in tools/troubleshooting/remedies.ts.\n${missing.join('\n')}`);
  process.exitCode = 1;
}
