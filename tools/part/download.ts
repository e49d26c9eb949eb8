import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { EnvHttpProxyAgent, fetch } from 'undici';
import { openPromise } from 'yauzl';
import type { Report } from './part.ts';
import { withProgress } from './progress.ts';
import type { ProgramPin } from './version.ts';

/** An offline machine must move on fast. */
const CONNECT_MS = 5_000;
const STALL_MS = 30_000;
const OFFICIAL = 'https://releases.hashicorp.com';

/** Hosts that could not be reached in this process: asking again for the next part would only wait again. */
const unreachable = new Map<string, string>();

/** The site of HashiCorp's releases, or the mirror of it that `POSTERN_RELEASES` names; without a slash at its end. */
export function releaseSite(env: NodeJS.ProcessEnv): string {
  return (env['POSTERN_RELEASES'] || OFFICIAL).replace(/\/$/, '');
}

/**
 * Downloads one official HashiCorp release, checks it against the SHA-256 pinned in `tools/versions.json`, and unpacks
 * its program. The site that serves the file is never asked for its checksum.
 *
 * @returns the path of the executable in `into`.
 * @throws Error when none is pinned for this platform, before any call; when the site can't be reached or the file has
 * another checksum; nothing is unpacked then.
 */
export async function downloadRelease(
  name: string,
  { version, sha256 }: Pick<ProgramPin, 'version' | 'sha256'>,
  into: string,
  env: NodeJS.ProcessEnv,
  report: Report,
): Promise<string> {
  const wanted = sha256[goPlatform()];
  if (!wanted) throw new Error(`no SHA-256 of ${name} ${version} is pinned for ${goPlatform()}: "make pin" writes it for review`);
  const site = releaseSite(env);
  const known = unreachable.get(site);
  if (known) throw new Error(known);
  const folder = `${site}/${name}/${version}`;
  const file = `${name}_${version}_${goPlatform()}.zip`;
  const dispatcher = new EnvHttpProxyAgent({ connect: { timeout: CONNECT_MS }, headersTimeout: STALL_MS, bodyTimeout: STALL_MS });
  try {
    const archive = join(into, file);
    await withProgress(`${name}: downloading ${folder}/${file}`, report, async (note) => {
      const response = await get(`${folder}/${file}`);
      const hash = createHash('sha256');
      const total = Number(response.headers.get('content-length') ?? 0);
      let got = 0;
      const watch = new Transform({
        transform(chunk: Buffer, _encoding, done) {
          hash.update(chunk);
          got += chunk.length;
          note(`${Math.round(got / 1e6)} of ${total ? Math.round(total / 1e6) : '?'} MB`);
          done(null, chunk);
        },
      });
      await pipeline(Readable.fromWeb(response.body as never), watch, createWriteStream(archive));
      const found = hash.digest('hex');
      if (found !== wanted) throw new Error(`${file} has SHA-256 ${found}, pinned is ${wanted}: refused`);
    });
    return await unpack(archive, name, into);
  } finally {
    await dispatcher.close();
  }

  async function get(address: string) {
    let response;
    try {
      response = await fetch(address, { dispatcher });
    } catch (error) {
      const cause = (error as Error).cause as Error | undefined;
      const reason = `${new URL(site).host} can't be reached (${cause?.message || (error as Error).message})`;
      unreachable.set(site, reason);
      throw new Error(reason);
    }
    if (!response.ok) {
      await response.body?.cancel();
      throw new Error(`${address} answered ${response.status}`);
    }
    return response;
  }
}

/** `linux_amd64` and alike: Go's names, which both release files and provider mirrors use. */
export function goPlatform(): string {
  const systems: Partial<Record<NodeJS.Platform, string>> = { win32: 'windows' };
  const machines: Record<string, string> = { x64: 'amd64', ia32: '386' };
  return `${systems[process.platform] ?? process.platform}_${machines[process.arch] ?? process.arch}`;
}

/** Takes the one program out of a release's archive, which also holds a licence. */
async function unpack(archive: string, program: string, into: string): Promise<string> {
  const target = join(into, program);
  const zip = await openPromise(archive);
  try {
    for await (const entry of zip.eachEntry()) {
      if (entry.fileName !== program) continue;
      await pipeline(await zip.openReadStreamPromise(entry), createWriteStream(target, { mode: 0o755 }));
      return target;
    }
    throw new Error(`${archive} holds no ${program}`);
  } finally {
    zip.close();
  }
}
