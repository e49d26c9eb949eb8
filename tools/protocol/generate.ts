import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { execa } from 'execa';
import { checkout } from '#tools/part/version.ts';

/** Our own text of the plugin protocol. */
export const definitions = join(checkout, 'broker/plugin/proto');
/** What `make generate` makes of it. */
export const generated = join(definitions, 'generated');

/** What ts-proto is asked for; https://github.com/stephenh/ts-proto#supported-options. */
const OPTIONS = [
  'outputServices=grpc-js',
  'forceLong=bigint',
  'env=node',
  'esModuleInterop=true',
  // Node runs it as it is: types are stripped, nothing is compiled.
  'importSuffix=.ts',
  'enumsAsLiterals=true',
  'unrecognizedEnum=false',
  // Only the wire format is used.
  'outputJsonMethods=false',
  'outputPartialMethods=false',
  'outputTypeRegistry=false',
  'useExactTypes=false',
  'exportCommonSymbols=false',
];

/**
 * TypeScript of the definitions, by ts-proto under buf; both are npm packages and nothing else is fetched.
 * @returns path below {@link generated} -> text
 * @throws Error with what buf wrote when a definition is wrong
 */
export async function generate(from: string = definitions): Promise<Map<string, string>> {
  const into = await mkdtemp(join(tmpdir(), 'postern-generate-'));
  try {
    const bin = join(checkout, 'node_modules/.bin');
    const template = { version: 'v2', plugins: [{ local: join(bin, 'protoc-gen-ts_proto'), out: into, opt: OPTIONS }] };
    await execa(join(bin, 'buf'), ['generate', '--template', JSON.stringify(template), from], {
      cwd: from,
      preferLocal: true,
      localDir: checkout,
      stdin: 'ignore',
    });
    return await filesOf(into);
  } finally {
    await rm(into, { recursive: true, force: true });
  }
}

/** Path below the folder -> text, of every TypeScript file; empty where there is no folder. */
export async function filesOf(folder: string): Promise<Map<string, string>> {
  const entries = await readdir(folder, { recursive: true }).catch(() => []);
  const names = entries.filter((name) => name.endsWith('.ts')).sort();
  return new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name), 'utf8')] as const)));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const files = await generate();
  await rm(generated, { recursive: true, force: true });
  for (const [name, text] of files) {
    await mkdir(dirname(join(generated, name)), { recursive: true });
    await writeFile(join(generated, name), text);
  }
  console.log(`${files.size} files in broker/plugin/proto/generated`);
}
