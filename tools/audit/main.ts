import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { auditSchema } from '#broker/audit/schema.ts';
import { checkout } from '#tools/part/version.ts';

const SCHEMA = 'docs/audit.schema.json';

/** `make generate`: writes the schema of the audit's lines from the definitions that the broker writes them by. */
await writeFile(join(checkout, SCHEMA), `${JSON.stringify(auditSchema(), null, 2)}\n`);
console.log(SCHEMA);
