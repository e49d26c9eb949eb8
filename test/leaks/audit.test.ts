import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, it } from 'vitest';

/** How an audit line begins; those of the log have a level. */
const AUDIT = /^\{"time":"[^"]*",.*"event":"/;

it('every line that any broker of the tests wrote into its audit fits docs/audit.schema.json', () => {
  const folder = process.env['POSTERN_TEST_LOGS'];
  if (!folder) throw new Error("no log folder: run it by vitest's set-up");
  const schema = JSON.parse(readFileSync(new URL('../../docs/audit.schema.json', import.meta.url), 'utf8')) as object;
  const validate = new Ajv2020({ strict: true, allowUnionTypes: true, validateFormats: false }).compile(schema);
  const seen = new Map<string, number>();
  const faults: string[] = [];
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    // The last piece is empty, or torn where a broker was killed.
    for (const line of readFileSync(join(entry.parentPath, entry.name), 'utf8').split('\n').slice(0, -1)) {
      if (!AUDIT.test(line) || line.includes('"level":')) continue;
      let event: { event?: string; outcome?: string };
      try {
        event = JSON.parse(line) as typeof event;
      } catch {
        faults.push(`not JSON, in ${entry.name}: ${line.slice(0, 200)}`);
        continue;
      }
      const kind = `${event.event} ${event.outcome}`;
      seen.set(kind, (seen.get(kind) ?? 0) + 1);
      if (!validate(event) && faults.length < 20) faults.push(`${JSON.stringify(event)}, in ${entry.name}`);
    }
  }
  console.log(Object.fromEntries([...seen].sort()));
  expect(faults).toEqual([]);
  // Nothing to look at proves nothing.
  if (process.env['POSTERN_TEST_DOCKER'] !== undefined && seen.size > 0) expect(seen.has('token.exchange granted')).toBe(true);
});
