import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { alone, cacheDirectory, inScratch, place } from './cache.ts';
import { goPlatform } from './download.ts';
import { buildFromGoModule } from './gobuild.ts';
import { cleanEnvironment } from '#tools/process/environment.ts';
import { runGroup } from '#tools/process/group.ts';
import { firstOf, type Part, type Report, type Way } from './part.ts';
import { withProgress } from './progress.ts';
import { compareVersions, meets, type ProviderPin, versions } from './version.ts';

/**
 * In the cache. Not `providers`, as it was: the builds of Vault's provider there wait for themselves for ever, now and then, where a KV
 * document and an identity are read at the same time (its `api` before 1.10).
 */
const MIRROR = 'providers-2';

/** The first download in this process while it is under way, and why it failed: the next provider does not wait for the same again. */
let first: Promise<string | undefined> | undefined;

/**
 * The Terraform providers `vault` and `auth0` in a filesystem mirror: `POSTERN_PROVIDER_MIRROR`, the mirror in
 * the cache, Terraform's own download into that mirror (Terraform holds it against the pinned SHA-256), the pinned Go modules.
 *
 * @returns the parts, and the environment that a Terraform child process needs to use them.
 * @throws PosternError `misconfigured` with the reason of each way when none works.
 */
export async function providersFor(
  terraform: Part,
  report: Report,
  env: NodeJS.ProcessEnv,
): Promise<{ parts: Part[]; env: Record<string, string> }> {
  const cache = cacheDirectory(env);
  const explicit = env['POSTERN_PROVIDER_MIRROR'] ? resolve(env['POSTERN_PROVIDER_MIRROR']) : undefined;
  // At the same time: where they must be built, one is compiled while the modules of the other are fetched, which takes half a minute.
  const sought = Object.values(versions.providers).map((pin) =>
    firstOf(`provider ${pin.source}`, providerWays(pin, terraform, explicit, env, report), report),
  );
  // A failure must not leave a build running that nobody waits for.
  await Promise.allSettled(sought);
  const parts = await Promise.all(sought);
  const mirrors = new Set(parts.map((part) => (part.origin === 'environment' ? (explicit as string) : join(cache, MIRROR))));
  return { parts, env: { TF_CLI_CONFIG_FILE: await configuration(cache, [...mirrors]), CHECKPOINT_DISABLE: '1' } };
}

function providerWays(pin: ProviderPin, terraform: Part, explicit: string | undefined, env: NodeJS.ProcessEnv, report: Report): Way[] {
  const cache = cacheDirectory(env);
  const mirror = join(cache, MIRROR);
  const name = `provider ${pin.source}`;
  const inCache = () => inMirror(mirror, pin, 'cache');
  const keep = (get: () => Promise<Part | undefined>) =>
    alone(cache, name.replaceAll(/[ /]/g, '-'), report, async () => (await inCache()) ?? (await get()));
  return [
    {
      origin: 'environment',
      where: 'POSTERN_PROVIDER_MIRROR',
      async find() {
        if (!explicit) return undefined;
        const part = await inMirror(explicit, pin, 'environment');
        if (!part) throw new Error(`${explicit} holds no ${pin.source} ${pin.range.join(', ')} for ${goPlatform()}`);
        return part;
      },
    },
    { origin: 'cache', where: mirror, find: inCache },
    {
      origin: 'download',
      where: "Terraform's own download",
      find: () =>
        keep(async () => {
          if (pin.sha256.length === 0)
            throw new Error(`no SHA-256 of ${pin.source} ${pin.download} is pinned: "make pin" writes them for review`);
          const host = await hostOf(pin, terraform, env);
          const folder = join(host, pin.source, pin.download, goPlatform());
          const get = () =>
            place(cache, join(mirror, folder), async (scratch) => {
              await lock(scratch, host, pin);
              await download(scratch, pin, terraform, env, report);
              // Terraform unpacks into the same layout that a mirror has.
              return join(scratch, '.terraform', 'providers', folder);
            });
          if (first === undefined) {
            const attempt = get();
            first = attempt.then(
              () => (first = undefined),
              (error: Error) => error.message,
            );
            await attempt;
          } else {
            const offline = await first;
            if (offline !== undefined) throw new Error(offline);
            await get();
          }
          return inMirror(mirror, pin, 'download');
        }),
    },
    {
      origin: 'go-module',
      where: pin.goModule,
      find: () =>
        keep(async () => {
          const host = await hostOf(pin, terraform, env);
          const file = `terraform-provider-${typeOf(pin)}_v${pin.version}`;
          await place(cache, join(mirror, host, pin.source, pin.version, goPlatform()), async (scratch) => {
            const into = join(scratch, goPlatform());
            await mkdir(into);
            await buildFromGoModule({ pin, name, into, file, optimize: false }, env, report);
            return into;
          });
          return inMirror(mirror, pin, 'go-module');
        }),
    },
  ];
}

const typeOf = (pin: ProviderPin) => pin.source.split('/')[1] ?? pin.source;

/** The newest fitting copy of a provider in a mirror, in either of the two layouts that Terraform reads. */
async function inMirror(mirror: string, pin: ProviderPin, origin: Part['origin']): Promise<Part | undefined> {
  const type = typeOf(pin);
  const found: Part[] = [];
  for (const host of await list(mirror)) {
    const folder = join(mirror, host, pin.source);
    for (const entry of await list(folder)) {
      const packed = new RegExp(`^terraform-provider-${type}_(\\d+\\.\\d+\\.\\d+)_${goPlatform()}\\.zip$`).exec(entry)?.[1];
      if (packed) found.push({ name: pin.source, version: packed, path: join(folder, entry), origin });
      if (!/^\d+\.\d+\.\d+$/.test(entry)) continue;
      const unpacked = join(folder, entry, goPlatform());
      const file = (await list(unpacked)).find((candidate) => candidate.startsWith(`terraform-provider-${type}`));
      if (file) found.push({ name: pin.source, version: entry, path: join(unpacked, file), origin });
    }
  }
  return found.filter((part) => meets(part.version, pin.range)).sort((a, b) => compareVersions(b.version, a.version))[0];
}

const list = (folder: string) => readdir(folder).catch(() => [] as string[]);

/** The host name under which Terraform looks a provider up. Terraform says it itself, so no file here names one. */
async function hostOf(pin: ProviderPin, terraform: Part, env: NodeJS.ProcessEnv): Promise<string> {
  return inScratch(cacheDirectory(env), async (scratch) => {
    await requireProvider(scratch, pin, pin.version);
    const result = await run(terraform, ['providers'], scratch, env);
    const host = /provider\[([^/\]]+)\//.exec(result.stdout)?.[1];
    if (!host) throw new Error(`terraform providers does not say where ${pin.source} comes from`);
    return host;
  });
}

/** Terraform refuses what has none of these checksums. */
async function lock(folder: string, host: string, pin: ProviderPin): Promise<void> {
  const hashes = pin.sha256.map((sum) => `    "zh:${sum}",\n`).join('');
  const content =
    `provider "${host}/${pin.source}" {\n  version     = "${pin.download}"\n  constraints = ` +
    `"${pin.download}"\n  hashes = [\n${hashes}  ]\n}\n`;
  await writeFile(join(folder, '.terraform.lock.hcl'), content);
}

/** The SHA-256 of each platform's zip, as the registry publishes them. For `make pin` alone. @throws Error */
export async function lockedHashes(pin: ProviderPin, terraform: Part, env: NodeJS.ProcessEnv): Promise<string[]> {
  return inScratch(cacheDirectory(env), async (scratch) => {
    await requireProvider(scratch, pin, pin.download);
    const result = await run(terraform, ['providers', 'lock', '-platform=linux_amd64'], scratch, env);
    if (result.failed) throw new Error(firstError(result.stderr) ?? result.shortMessage);
    return [...(await readFile(join(scratch, '.terraform.lock.hcl'), 'utf8')).matchAll(/"zh:([0-9a-f]{64})"/g)].map(
      ([, sum]) => sum as string,
    );
  });
}

async function download(scratch: string, pin: ProviderPin, terraform: Part, env: NodeJS.ProcessEnv, report: Report): Promise<void> {
  await requireProvider(scratch, pin, pin.download);
  await withProgress(`provider ${pin.source}: Terraform downloads ${pin.download}`, report, async () => {
    const result = await run(terraform, ['init', '-backend=false', '-lockfile=readonly', '-input=false', '-no-color'], scratch, env);
    if (result.failed) throw new Error(firstError(result.stderr) ?? result.shortMessage);
  });
}

async function requireProvider(folder: string, pin: ProviderPin, version: string): Promise<void> {
  const content = { terraform: { required_providers: { [typeOf(pin)]: { source: pin.source, version } } } };
  await writeFile(join(folder, 'main.tf.json'), JSON.stringify(content));
}

function run(terraform: Part, args: string[], folder: string, env: NodeJS.ProcessEnv) {
  return runGroup(terraform.path, args, {
    cwd: folder,
    // An offline machine must move on fast; the real download is not bounded by these.
    env: {
      ...cleanEnvironment(env, 'terraform'),
      CHECKPOINT_DISABLE: '1',
      TF_REGISTRY_CLIENT_TIMEOUT: '5',
      TF_REGISTRY_DISCOVERY_RETRY: '0',
      TF_DATA_DIR: join(folder, '.terraform'),
    },
    timeout: 300_000,
  });
}

/** The message of Terraform's first error box, on one line. */
function firstError(text: string): string | undefined {
  const plain = text
    .replaceAll(/^[│╷╵]\s?/gm, '')
    .split('\n\n')
    .find((paragraph) => paragraph.includes('Could not'));
  return plain?.replaceAll(/\s+/g, ' ').trim();
}

/** A CLI configuration naming the mirrors only, so that Terraform asks nothing of the network. */
async function configuration(cache: string, mirrors: string[]): Promise<string> {
  // This language takes JSON's quoting, and `${` as it stands: it is not the one of Terraform's other files.
  const blocks = mirrors.map((path) => `  filesystem_mirror {\n    path = ${JSON.stringify(path)}\n  }\n`);
  const content = `provider_installation {\n${blocks.join('')}}\n`;
  const digest = createHash('sha256').update(content).digest('hex').slice(0, 12);
  const target = join(cache, `terraform-${digest}.tfrc`);
  // A cache that has everything need not be writable.
  if ((await readFile(target, 'utf8').catch(() => '')) === content) return target;
  return place(cache, target, async (scratch) => {
    const file = join(scratch, 'terraform.tfrc');
    await writeFile(file, content);
    return file;
  });
}
