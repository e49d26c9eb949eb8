import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, chown, copyFile, lstat, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { PosternError } from '#broker/error.ts';

/** How long a plugin may take to say that nobody but Vault should start it, ms. */
const START_MS = 10_000;

/** A file that Vault can run as the plugin. */
export interface PluginFile {
  /** Absolute. */
  readonly file: string;
  /** Hexadecimal. */
  readonly sha256: string;
  /** `v1.2.3`; undefined where no `postern-auth0.json` beside it tells. */
  readonly version: string | undefined;
  /** `linux-x64`, of Node's names; `script` runs on any; undefined where the file is of no kind that is known. */
  readonly platform: string | undefined;
}

/** @throws {PosternError} not_found, invalid_request */
export async function readPluginFile(path: string): Promise<PluginFile> {
  const file = resolve(path);
  const found = await stat(file).catch((error: NodeJS.ErrnoException) => {
    throw new PosternError('not_found', `The plugin's executable cannot be read (${error.code}): ${file}`, {
      detail: 'Build it with `make plugin`, or name it with --executable.',
    });
  });
  if (!found.isFile())
    throw new PosternError('invalid_request', `This is not a file: ${file}`, {
      detail: 'Name the executable that `make plugin` built, with --executable.',
    });
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  const sha256 = hash.digest('hex');
  return { file, sha256, version: await versionBeside(file, sha256), platform: await platformOf(file) };
}

/** `make plugin` writes it; it counts only where it speaks of these very bytes. */
async function versionBeside(file: string, sha256: string): Promise<string | undefined> {
  try {
    const manifest = JSON.parse(await readFile(join(dirname(file), 'postern-auth0.json'), 'utf8')) as {
      version?: unknown;
      files?: { sha256?: unknown }[];
    };
    const known = manifest.files?.some((entry) => entry.sha256 === sha256) === true;
    return known && typeof manifest.version === 'string' ? manifest.version : undefined;
  } catch {
    return undefined;
  }
}

/** ELF: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html (e_machine at byte 18). Mach-O: cputype at byte 4. */
async function platformOf(file: string): Promise<string | undefined> {
  const head = Buffer.alloc(20);
  const opened = await open(file, 'r');
  try {
    await opened.read(head, 0, head.length, 0);
  } finally {
    await opened.close();
  }
  if (head.toString('latin1', 0, 2) === '#!') return 'script';
  if (head.toString('latin1', 0, 4) === '\u007FELF') return `linux-${{ 0x3e: 'x64', 0xb7: 'arm64' }[head.readUInt16LE(18)] ?? 'other'}`;
  if (head.readUInt32LE(0) === 0xfeedfacf) return `darwin-${{ 0x01000007: 'x64', 0x0100000c: 'arm64' }[head.readUInt32LE(4)] ?? 'other'}`;
  return undefined;
}

export interface PlaceOptions {
  plugin: PluginFile;
  /** Vault's plugin directory, on this machine. */
  directory: string;
  /** What Vault's configuration says, where the token may read it. */
  configured?: { directory: string; fileUid: number; permissions: number } | undefined;
  /** File name in there. */
  command: string;
}

/**
 * Puts the executable into the plugin directory by Vault's rules, each with a message that says what to do:
 * the directory is the configured one and no symlink leads to it, nobody but its owner may write into it, the file is
 * owned by Vault's user and executable, and it runs on this machine.
 * @returns whether it was there already
 * @throws {PosternError} misconfigured
 */
export async function placePlugin(options: PlaceOptions): Promise<'copied' | 'unchanged'> {
  const { plugin, command, configured } = options;
  const directory = resolve(options.directory);
  const here = `${process.platform}-${process.arch}`;
  if (plugin.platform !== 'script' && plugin.platform !== here) {
    throw wrong(
      `The executable is made for ${plugin.platform ?? 'no platform that is known'}, and this machine is ${here}`,
      'Run `make plugin` on a machine of the kind that Vault runs on, or install the script postern-auth0.cjs.',
    );
  }
  const owner = await checkDirectory(directory, configured?.directory);
  const uid = configured?.fileUid || owner;
  const target = join(directory, command);
  const before = await lstat(target).catch(() => undefined);
  if (before?.isSymbolicLink())
    throw wrong(
      `${target} is a symlink, which Vault does not follow out of its plugin directory`,
      `Remove it (rm ${target}), and run this again.`,
    );
  const same = before?.isFile() === true && (await readPluginFile(target)).sha256 === plugin.sha256;
  if (!same) await copy(plugin.file, target, uid, configured?.permissions || 0o755);
  await checkFile(target, uid, configured?.permissions || undefined);
  // Which Node a script finds, only Vault's own environment tells.
  if (plugin.platform !== 'script') await checkRuns(target);
  return same ? 'unchanged' : 'copied';
}

/** @returns the uid of its owner, taken to be Vault's user */
async function checkDirectory(directory: string, configured: string | undefined): Promise<number> {
  if (configured !== undefined && resolve(configured) !== directory) {
    throw wrong(
      `Vault's plugin_directory is ${configured}, not ${directory}`,
      'Name that one with --plugin-directory. Is it on this machine? Else copy the file there yourself, and leave --plugin-directory out.',
    );
  }
  const found = await lstat(directory).catch((error: NodeJS.ErrnoException) => {
    throw wrong(
      `The plugin directory cannot be read (${error.code}): ${directory}`,
      `Make it on every node of Vault: install -d -o vault -m 0755 ${directory}`,
    );
  });
  const real = await realpath(directory);
  if (found.isSymbolicLink() || real !== directory) {
    throw wrong(
      `The plugin directory ${directory} is reached by a symlink, and Vault runs nothing from there`,
      `Set plugin_directory = "${real}" in Vault's configuration, restart it, and name that with --plugin-directory.`,
    );
  }
  if (!found.isDirectory()) throw wrong(`${directory} is not a directory`, "Is plugin_directory in Vault's configuration right?");
  if ((found.mode & 0o022) !== 0)
    throw wrong(
      `Others than its owner may write into the plugin directory ${directory}`,
      `They could replace the plugin. Run: chmod go-w ${directory}`,
    );
  return found.uid;
}

/** In one step, so that Vault never starts half a file, and a running one goes on. */
async function copy(from: string, target: string, uid: number, mode: number): Promise<void> {
  const temporary = join(dirname(target), `.${basename(target)}.${process.pid}.tmp`);
  try {
    await copyFile(from, temporary);
    await chmod(temporary, mode);
    if ((await stat(temporary)).uid !== uid) await chown(temporary, uid, -1);
    await rename(temporary, target);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EACCES' && code !== 'EPERM' && code !== 'EROFS' && code !== 'ENOSPC') throw error;
    throw wrong(
      `The executable cannot be put into the plugin directory (${code})`,
      code === 'ENOSPC' ? 'There is no room on its disk.' : `Run it as root, or yourself: install -o ${uid} -m 0755 ${from} ${target}`,
    );
  } finally {
    await rm(temporary, { force: true }).catch(() => {});
  }
}

async function checkFile(target: string, uid: number, permissions: number | undefined): Promise<void> {
  const found = await stat(target);
  const mode = found.mode & 0o777;
  if (found.uid !== uid)
    throw wrong(`${target} is owned by uid ${found.uid}, not by Vault's user (uid ${uid})`, `Run: chown ${uid} ${target}`);
  if (permissions !== undefined && mode !== permissions)
    throw wrong(
      `${target} has the permissions ${mode.toString(8)}, and plugin_file_permissions of Vault says ${permissions.toString(8)}`,
      `Run: chmod ${permissions.toString(8)} ${target}`,
    );
  if ((mode & 0o022) !== 0) throw wrong(`Others than its owner may write to ${target}`, `Run: chmod go-w ${target}`);
  if ((mode & 0o100) === 0) throw wrong(`${target} is not executable`, `Run: chmod 0755 ${target}`);
}

/** Without Vault's cookie a plugin ends at once, with 1. */
async function checkRuns(target: string): Promise<void> {
  const result = await promisify(execFile)(target, [], { env: { PATH: '/usr/local/bin:/usr/bin:/bin' }, timeout: START_MS }).then(
    () => ({ code: 0 }),
    (error: { code?: unknown; signal?: unknown; stderr?: string }) => error,
  );
  if (result.code === 1) return;
  const said = 'stderr' in result && result.stderr ? `: ${result.stderr.trim().split('\n').at(-1)?.slice(0, 200)}` : '';
  const why =
    {
      EACCES: 'permission denied',
      ENOEXEC: 'not a program of this machine',
      ENOENT: 'what it needs to run is missing',
      127: 'what it needs to run is missing',
    }[String(result.code)] ?? `it ended with ${String(result.code ?? ('signal' in result ? result.signal : 'nothing'))}`;
  throw wrong(
    `${target} does not run here (${why})${said}`,
    'Is the directory on a disk mounted noexec? The executable needs the C library that Node needs (glibc).',
  );
}

function wrong(message: string, remedy: string): PosternError {
  return new PosternError('misconfigured', message, { detail: remedy });
}
