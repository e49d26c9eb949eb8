import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { bundledPackages, licenseOf, packageFolders } from '#tools/dist/notice.ts';
import { checkout } from '#tools/part/version.ts';

/** Where the pages lie in the broker, below the checkout: a module, so that every way of shipping the broker has them in it. */
export const PAGES = 'broker/admin/console/generated/pages.ts';

const SOURCES = 'console';

/**
 * The console's files for the browser, made of `console/` and of the packages that it uses. The same sources give the same text.
 * @returns the text of {@link PAGES}
 * @throws Error with esbuild's messages
 */
export async function buildConsole(): Promise<string> {
  const { outputFiles, metafile } = await build({
    absWorkingDir: checkout,
    entryPoints: { console: join(SOURCES, 'main.tsx') },
    tsconfig: join(SOURCES, 'tsconfig.json'),
    bundle: true,
    format: 'esm',
    target: 'es2023',
    minify: true,
    legalComments: 'none',
    outdir: 'out',
    write: false,
    metafile: true,
    logLevel: 'silent',
  });
  const packages = await bundledPackages(packageFolders(Object.keys(metafile.inputs)));
  const source = (name: string): Promise<string> => readFile(join(checkout, SOURCES, name), 'utf8');
  const pages = {
    'index.html': await source('index.html'),
    'icon.svg': await source('icon.svg'),
    'console.css': await source('console.css'),
    'console.js': outputFiles[0]?.text ?? '',
    'licenses.txt': (await Promise.all(packages.map(licenseOf))).join('\n'),
  };
  const entries = Object.entries(pages).map(([name, text]) => `  ${JSON.stringify(name)}: ${JSON.stringify(text)},\n`);
  return `// Made of console/ by \`make console\`. Don't edit.\nexport const PAGES = {\n${entries.join('')}} as const;\n`;
}
