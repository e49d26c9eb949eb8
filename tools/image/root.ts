import { chmod, copyFile, lutimes, mkdir, readdir, realpath, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { execa } from 'execa';
import type { Artifact } from '#tools/dist/build.ts';
import { checkout } from '#tools/part/version.ts';
import { shippedLibraries } from './library.ts';
import type { SystemPackage } from './library.ts';

/** Where distributions keep the certificates that they trust, as one file. */
const CERTIFICATES = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/cert.pem'];

/** As npm writes it into tarballs: the same files make the same layer. */
const TIME = new Date('1985-10-26T08:15:00Z');

/** Of the process in the image. */
const USER = 65_532;

/**
 * Fills a folder with the image's Dockerfile and the files of its root: the executable, the libraries of this machine that it loads, CA
 * certificates, and licences. Nobody but root can write to any of them.
 * @param executable as `make dist` built it
 * @param folder is empty, or not there
 * @returns the packages of this machine's distribution that the libraries come from
 * @throws Error where this is not Linux, or a library can't be found
 */
export async function prepareImage(executable: Artifact, folder: string): Promise<SystemPackage[]> {
  if (process.platform !== 'linux') throw new Error('the image is built on Linux, whose libraries it gets; a Linux container will do');
  const root = join(folder, 'rootfs');
  await mkdir(root, { recursive: true });
  const put = async (from: string, to: string, mode: number): Promise<void> => {
    await mkdir(dirname(join(root, to)), { recursive: true });
    await copyFile(from, join(root, to));
    await chmod(join(root, to), mode);
  };
  await put(executable.file, 'postern', 0o755);
  const { libraries, packages } = await shippedLibraries(executable.file);
  // A loader looks where it was told to when it was compiled, so each keeps its path.
  for (const library of libraries) await put(await realpath(library), library, 0o755);
  for (const { name, copyright } of packages) if (copyright !== undefined) await put(copyright, `usr/share/doc/${name}/copyright`, 0o644);
  for (const name of executable.with) await put(join(dirname(executable.file), name), `usr/share/doc/postern/${basename(name)}`, 0o644);
  await put(join(checkout, 'LICENSE'), 'usr/share/doc/postern/LICENSE', 0o644);
  const certificates = await firstOf(CERTIFICATES);
  if (certificates !== undefined) await put(certificates, 'etc/ssl/certs/ca-certificates.crt', 0o644);
  for (const [name, text] of Object.entries(ACCOUNTS)) await writeFile(join(root, 'etc', name), text);
  await copyFile(join(checkout, 'deploy/image/Dockerfile'), join(folder, 'Dockerfile'));
  await settle(root);
  return packages;
}

/** What programs ask the system for: a name for the user, and names of hosts from DNS. */
const ACCOUNTS = {
  passwd: `root:x:0:0:root:/:/sbin/nologin\npostern:x:${USER}:${USER}:postern:/:/sbin/nologin\n`,
  group: `root:x:0:\npostern:x:${USER}:\n`,
  'nsswitch.conf': 'hosts: files dns\n',
};

async function firstOf(files: readonly string[]): Promise<string | undefined> {
  for (const file of files) if (await stat(file).catch(() => undefined)) return file;
  return undefined;
}

/** Modes and times that depend neither on the umask nor on the clock. */
async function settle(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await settle(path);
    else {
      const { mode } = await stat(path);
      await chmod(path, mode & 0o111 ? 0o755 : 0o644);
      await lutimes(path, TIME, TIME);
    }
  }
  await chmod(folder, 0o755);
  await lutimes(folder, TIME, TIME);
}

/**
 * Builds the image with the `docker` or `podman` of this machine.
 * @throws Error where neither is there, or with what it said
 */
export async function buildImage(folder: string, tag: string, args: Readonly<Record<string, string>>): Promise<void> {
  const given = Object.entries(args).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]);
  for (const program of ['docker', 'podman']) {
    const result = await execa(program, ['build', '--tag', tag, ...given, folder], { reject: false, stdin: 'ignore', all: true });
    if (result.code === 'ENOENT') continue;
    if (result.failed) throw new Error(`${program} build failed: ${result.all.trim().split('\n').at(-1)}`);
    return;
  }
  throw new Error(`neither docker nor podman is here: build it elsewhere, from ${folder}`);
}
