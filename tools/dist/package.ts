import { chmod, copyFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { checkout } from '#tools/part/version.ts';
import { OLDEST_NODE, bundle } from './bundle.ts';
import type { Bundle } from './bundle.ts';
import { notice } from './notice.ts';
import { sbom } from './sbom.ts';

export interface PackageOptions {
  /** Of `cli/main.ts`. */
  bundle: Bundle;
  version: string;
  /** Receives the tarball. */
  file: string;
}

/**
 * The npm package: the `postern` program and `startBroker` for programs that run a broker inside them, as JavaScript with everything
 * bundled, so that an installation fetches nothing else. npm writes the same time into each tarball, so the same sources give the same one.
 * @throws Error with what npm or TypeScript said
 */
export async function makePackage({ bundle: program, version, file }: PackageOptions): Promise<void> {
  const scratch = await mkdtemp(join(dirname(file), '.package-'));
  const folder = join(scratch, 'package');
  try {
    await mkdir(folder);
    const library = await bundle({ entry: 'broker/index.ts', version });
    await writeFile(join(folder, 'postern.cjs'), program.text);
    await chmod(join(folder, 'postern.cjs'), 0o755);
    await writeFile(join(folder, 'index.cjs'), library.text);
    await writeFile(join(folder, 'index.d.ts'), await declaration());
    await writeFile(join(folder, 'package.json'), `${JSON.stringify(manifest(version), null, 2)}\n`);
    for (const name of ['LICENSE', 'CHANGELOG.md']) await copyFile(join(checkout, name), join(folder, name));
    await copyFile(join(checkout, 'deploy/npm/README.md'), join(folder, 'README.md'));
    await writeFile(join(folder, 'notice.txt'), await notice('postern', program.packages));
    await writeFile(join(folder, 'sbom.cdx.json'), sbom({ name: 'postern', version, packages: program.packages }));
    const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', scratch], folder);
    await rename(join(scratch, stdout.trim().split('\n').at(-1) ?? ''), file);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function manifest(version: string): object {
  return {
    name: 'postern',
    version,
    description: 'Token broker for Auth0: one Vault AppRole a customer, cached Auth0-compatible access tokens',
    license: 'Apache-2.0',
    type: 'commonjs',
    // What undici and commander need.
    engines: { node: `>=${OLDEST_NODE}.19` },
    bin: { postern: './postern.cjs' },
    exports: { '.': { types: './index.d.ts', default: './index.cjs' }, './package.json': './package.json' },
    main: './index.cjs',
    types: './index.d.ts',
    files: ['postern.cjs', 'index.cjs', 'index.d.ts', 'LICENSE', 'README.md', 'CHANGELOG.md', 'notice.txt', 'sbom.cdx.json'],
  };
}

/** What `broker/index.ts` says of itself names no other file, so that its declaration stands alone. */
async function declaration(): Promise<string> {
  // TypeScript 7 has no such function yet.
  const { default: typescript } = await import('typescript6');
  const source = await readFile(join(checkout, 'broker/index.ts'), 'utf8');
  const { outputText, diagnostics = [] } = typescript.transpileDeclaration(source, {
    fileName: 'index.ts',
    reportDiagnostics: true,
    compilerOptions: { isolatedDeclarations: true, target: typescript.ScriptTarget.ES2022, strict: true },
  });
  const [first] = diagnostics;
  if (first !== undefined) throw new Error(`broker/index.ts: ${typescript.flattenDiagnosticMessageText(first.messageText, ' ')}`);
  return outputText;
}

async function run(program: string, args: readonly string[], cwd: string): Promise<{ stdout: string }> {
  const result = await execa(program, args, { cwd, reject: false, stdin: 'ignore' });
  if (result.failed) throw new Error(`${program} failed: ${(result.stderr || result.stdout || (result.shortMessage ?? '')).slice(-600)}`);
  return { stdout: result.stdout };
}
