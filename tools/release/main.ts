import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { failed, intoFolder } from '#tools/dist/folder.ts';
import { toStderr } from '#tools/part/part.ts';
import { withProgress } from '#tools/part/progress.ts';
import { checkout } from '#tools/part/version.ts';
import { makeRelease } from './release.ts';

/** `make release`: everything that is released in one folder, with checksums; signing it is a person's. */
const { values } = parseArgs({
  options: {
    folder: { type: 'string', default: join(checkout, 'dist/release') },
    snapshot: { type: 'boolean', default: false },
  },
});
const { snapshot } = values;
const folder = resolve(values.folder);
try {
  const files = await intoFolder(folder, 1_000e6, () =>
    withProgress('release: building', toStderr, () => makeRelease({ folder, snapshot, report: toStderr })),
  );
  for (const { file, bytes, sha256 } of files) console.log(`${sha256}  ${(bytes / 1e6).toFixed(1).padStart(6)} MB  ${basename(file)}`);
  console.log(`${folder}: sign SHA256SUMS there, as docs/release.md says`);
} catch (error) {
  failed(error);
}
