import { writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { toStderr } from '#tools/part/part.ts';
import { withProgress } from '#tools/part/progress.ts';
import { checkout } from '#tools/part/version.ts';
import { buildDist } from './build.ts';
import { checksums } from './file.ts';
import { failed, intoFolder } from './folder.ts';

/** `make dist`: builds what is deployed into `dist/`, with `SHA256SUMS`, and says what each file is. */
const { values } = parseArgs({ options: { folder: { type: 'string', default: join(checkout, 'dist') } } });
const folder = resolve(values.folder);
try {
  const artifacts = await intoFolder(folder, 400e6, async () => {
    const made = await withProgress('postern: building', toStderr, () => buildDist({ folder, report: toStderr }));
    await writeFile(join(folder, 'SHA256SUMS'), checksums(made));
    return made;
  });
  for (const { kind, file, bytes, sha256 } of artifacts)
    console.log(`${relative(process.cwd(), file).padEnd(28)} ${kind.padEnd(11)} ${(bytes / 1e6).toFixed(1).padStart(6)} MB  ${sha256}`);
} catch (error) {
  failed(error);
}
