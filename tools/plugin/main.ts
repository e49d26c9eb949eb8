import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { failed, intoFolder } from '#tools/dist/folder.ts';
import { toStderr } from '#tools/part/part.ts';
import { withProgress } from '#tools/part/progress.ts';
import { checkout } from '#tools/part/version.ts';
import { buildPlugin } from './build.ts';

/** `make plugin`: builds the secrets plugin into `dist/` and prints what Vault's catalogue wants to know of each file. */
const { values } = parseArgs({
  options: {
    folder: { type: 'string', default: join(checkout, 'dist') },
    // The sources' own, else; one of your own for a build that Vault must tell from another.
    version: { type: 'string' },
    node: { type: 'string' },
  },
});

const folder = resolve(values.folder);
try {
  const made = await intoFolder(folder, 400e6, () =>
    withProgress('postern-auth0: building', toStderr, () =>
      buildPlugin({
        folder,
        report: toStderr,
        ...(values.version ? { version: values.version } : {}),
        ...(values.node ? { node: values.node } : {}),
      }),
    ),
  );
  const rows = [
    ['file', 'for', 'version', 'MB', 'sha256'],
    ...made.files.map(({ kind, file, bytes, sha256 }) => [
      relative(process.cwd(), file),
      kind === 'executable'
        ? `${made.platform}-${made.architecture}, with Node ${made.node}`
        : `hosts with ${values.node ?? 'node'} 24 or newer`,
      made.version,
      (bytes / 1e6).toFixed(1),
      sha256,
    ]),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  for (const row of rows)
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );
} catch (error) {
  failed(error);
}
