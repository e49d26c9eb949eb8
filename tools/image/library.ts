import { readdir, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';

/** A package of this machine's distribution. */
export interface SystemPackage {
  name: string;
  version: string;
  /** The file with its licences, where the distribution keeps one. */
  copyright: string | undefined;
}

/**
 * What a program of this machine loads: the loader itself, the libraries that it names, and what the C library looks up names of hosts
 * with, which it loads by itself.
 * @returns absolute paths, as the loader looks for them
 * @throws Error where one is missing
 */
export async function shippedLibraries(program: string): Promise<{ libraries: string[]; packages: SystemPackage[] }> {
  const { stdout } = await execa('ldd', [program], { stdin: 'ignore' });
  const missing = /^\s*(\S+) => not found/m.exec(stdout)?.[1];
  if (missing !== undefined) throw new Error(`${missing} is not on this machine, and the executable needs it`);
  const named = [...stdout.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, path = '']) => path);
  const libc = named.find((path) => /\/libc\.so/.test(path));
  const resolvers =
    libc === undefined ? [] : (await readdir(dirname(libc))).filter((file) => /^lib(nss_dns|nss_files|resolv)\.so\.2$/.test(file));
  const libraries = [...new Set([...named, ...resolvers.map((file) => join(dirname(libc ?? ''), file))])].sort();
  const packages = new Map<string, SystemPackage>();
  for (const library of libraries) {
    const found = await packageOf(library);
    if (found !== undefined) packages.set(found.name, found);
  }
  return { libraries, packages: [...packages.values()].sort((a, b) => (a.name < b.name ? -1 : 1)) };
}

/** By dpkg; undefined where the distribution has another package manager. */
async function packageOf(library: string): Promise<SystemPackage | undefined> {
  // dpkg knows a merged /usr under either name.
  const real = await realpath(library);
  for (const path of [library, real, real.replace(/^\/usr/, ''), `/usr${library}`]) {
    const owner = await execa('dpkg-query', ['--search', path], { reject: false, stdin: 'ignore' });
    const name = /^([a-z0-9.+-]+)(?::\w+)?: /.exec(owner.failed ? '' : owner.stdout)?.[1];
    if (name === undefined) continue;
    const shown = await execa('dpkg-query', ['--show', '--showformat=${Version}\n', name], { reject: false, stdin: 'ignore' });
    const file = `/usr/share/doc/${name}/copyright`;
    const copyright = (await stat(file).catch(() => undefined)) === undefined ? undefined : file;
    return { name, version: shown.stdout?.split('\n')[0] ?? '', copyright };
  }
  return undefined;
}
