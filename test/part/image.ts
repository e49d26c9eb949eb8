import { copyFile, link } from 'node:fs/promises';
import { join } from 'node:path';
import { GenericContainer, getContainerRuntimeClient, ImageName } from 'testcontainers';
import { getReaperImage } from 'testcontainers/build/reaper/reaper.js';
import { cacheDirectory, inScratch } from '#tools/part/cache.ts';
import { type Report, toStderr } from '#tools/part/part.ts';
import { withProgress } from '#tools/part/progress.ts';
import { findVault } from '#tools/part/vault.ts';
import { checkout, versions } from '#tools/part/version.ts';

const PULL_MS = 300_000;
const BUILD_MS = 180_000;

export interface Image {
  name: string;
  origin: 'present' | 'pulled' | 'built';
  /** Whether the image of Testcontainers' own cleaner can be had; without it that cleaner must be switched off. */
  cleaner: boolean;
}

/**
 * The `hashicorp/vault` image in the engine named by this process's `DOCKER_HOST`: the one there, the official one,
 * or one built from the same program and given the official name.
 *
 * @throws Error when none of it works.
 */
export async function findImage(report: Report = toStderr): Promise<Image> {
  const name = versions.image.vault;
  const client = await getContainerRuntimeClient();
  const has = (image: string) => client.image.exists(ImageName.fromString(image));
  // The engine asks a registry; what fails for one image would fail for the next as well.
  let offline = false;
  const pull = async (image: string): Promise<boolean> => {
    if (offline) return false;
    try {
      await withProgress(`image ${image}: pulling`, report, () => within(PULL_MS, client.image.pull(ImageName.fromString(image))));
    } catch (error) {
      report(`image ${image}: can't be pulled (${(error as Error).message.slice(0, 160)})`);
      offline = true;
      return false;
    }
    return has(image);
  };

  let origin: Image['origin'] = 'present';
  if (!(await has(name))) {
    origin = (await pull(name)) ? 'pulled' : 'built';
    if (origin === 'built') await build(name, report);
  }
  const cleaner = getReaperImage();
  return { name, origin, cleaner: (await has(cleaner)) || (await pull(cleaner)) };
}

async function build(name: string, report: Report): Promise<void> {
  if (process.platform !== 'linux') throw new Error('the image can be built only on Linux, where the Vault program is a Linux one');
  const vault = await findVault(report);
  await withoutCleaner(() =>
    inScratch(cacheDirectory(process.env), async (context) => {
      await copyFile(join(checkout, 'test/image/Dockerfile'), join(context, 'Dockerfile'));
      await link(vault.path, join(context, 'vault')).catch(() => copyFile(vault.path, join(context, 'vault')));
      await withProgress(`image ${name}: building from ${vault.path}`, report, () =>
        within(BUILD_MS, GenericContainer.fromDockerfile(context).build(name, { deleteOnExit: false })),
      );
    }),
  );
}

/** The builder waits for images to be removed at the end, through a cleaner that may not be there. */
export async function withoutCleaner<T>(work: () => Promise<T>): Promise<T> {
  const before = process.env['TESTCONTAINERS_RYUK_DISABLED'];
  process.env['TESTCONTAINERS_RYUK_DISABLED'] = 'true';
  try {
    return await work();
  } finally {
    if (before === undefined) delete process.env['TESTCONTAINERS_RYUK_DISABLED'];
    else process.env['TESTCONTAINERS_RYUK_DISABLED'] = before;
  }
}

/** An engine that answers nothing must not hold everything up; the builder of Testcontainers never gives up by itself. */
async function within<T>(milliseconds: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${milliseconds / 1000} s`)), milliseconds);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
