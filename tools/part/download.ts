import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { EnvHttpProxyAgent, fetch } from 'undici';
import { openPromise } from 'yauzl';
import type { Report } from './part.ts';
import { withProgress } from './progress.ts';

/** An offline machine must move on fast. */
const CONNECT_MS = 5_000;
const STALL_MS = 30_000;
const OFFICIAL = 'https://releases.hashicorp.com';

/** Hosts that could not be reached in this process: asking again for the next part would only wait again. */
const unreachable = new Map<string, string>();

/**
 * Downloads one official HashiCorp release, checks it against the SHA-256 sums published beside it, and
 * unpacks its program. `POSTERN_RELEASES` names a mirror of the release site.
 *
 * @returns the path of the executable in `into`.
 * @throws Error when the site can't be reached or the checksum is wrong; nothing is unpacked then.
 */
export async function downloadRelease(
  name: string,
  version: string,
  into: string,
  env: NodeJS.ProcessEnv,
  report: Report,
): Promise<string> {
  const site = (env['POSTERN_RELEASES'] || OFFICIAL).replace(/\/$/, '');
  const known = unreachable.get(site);
  if (known) throw new Error(known);
  const folder = `${site}/${name}/${version}`;
  const file = `${name}_${version}_${goPlatform()}.zip`;
  const dispatcher = new EnvHttpProxyAgent({ connect: { timeout: CONNECT_MS }, headersTimeout: STALL_MS, bodyTimeout: STALL_MS });
  try {
    const sums = await get(`${folder}/${name}_${version}_SHA256SUMS`).then((response) => response.text());
    const wanted = sums
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .find(([, listed]) => listed === file)?.[0];
    if (!wanted || !/^[0-9a-f]{64}$/.test(wanted)) throw new Error(`${folder} publishes no checksum for ${file}`);
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
      if (found !== wanted) throw new Error(`${file} has SHA-256 ${found}, published is ${wanted}: refused`);
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
