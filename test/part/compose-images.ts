import { chmod, copyFile, cp, link, mkdir, readFile, realpath, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { GenericContainer, getContainerRuntimeClient, ImageName } from 'testcontainers';
import { cacheDirectory, inScratch } from '#tools/part/cache.ts';
import { toStderr } from '#tools/part/part.ts';
import type { Report } from '#tools/part/part.ts';
import { withProgress } from '#tools/part/progress.ts';
import { findProviders, findTerraform } from '#tools/part/terraform.ts';
import { findVault } from '#tools/part/vault.ts';
import { versions } from '#tools/part/version.ts';
import { shippedLibraries } from '#tools/image/library.ts';
import { findBusyBox } from './busybox.ts';
import { findGateway } from './gateway.ts';
import { withoutCleaner } from './image.ts';

type Name = keyof typeof versions.image;

export interface ComposeImages {
  /** For the environment of `docker compose`; empty where the official images are there. */
  variables: Record<string, string>;
  /** In words, for each: the official one or one that stands in. */
  origins: Record<Name, 'official' | 'stand-in'>;
}

/**
 * The images that deploy/compose names: the official ones where they are there or can be pulled, else images of the same programs as they
 * are found on this machine, with a shell.
 * @throws Error where neither works
 */
export async function findComposeImages(report: Report = toStderr): Promise<ComposeImages> {
  const images: ComposeImages = { variables: {}, origins: { vault: 'official', terraform: 'official', nginx: 'official' } };
  let offline = false;
  for (const [name, official] of Object.entries(versions.image) as [Name, string][]) {
    if (await isOfficial(official)) continue;
    if (!offline) {
      const client = await getContainerRuntimeClient();
      await withProgress(`image ${official}: pulling`, report, () => client.image.pull(ImageName.fromString(official))).catch(() => {
        offline = true;
      });
      if (await isOfficial(official)) continue;
    }
    const standIn = `postern-stand-in/${name}:test`;
    await build(name, standIn, report);
    images.variables[`${name.toUpperCase()}_IMAGE`] = standIn;
    images.origins[name] = 'stand-in';
  }
  return images;
}

/** Pulled from somewhere, not built by a test under the official name. */
async function isOfficial(image: string): Promise<boolean> {
  const { image: images, container } = await getContainerRuntimeClient();
  if (!(await images.exists(ImageName.fromString(image)))) return false;
  return ((await container.dockerode.getImage(image).inspect()).RepoDigests ?? []).length > 0;
}

async function build(name: Name, tag: string, report: Report): Promise<void> {
  if (process.platform !== 'linux') throw new Error('images can be built only on Linux, whose programs they get');
  await inScratch(cacheDirectory(process.env), async (context) => {
    const root = join(context, 'rootfs');
    const put = async (from: string, to: string): Promise<void> => {
      await mkdir(dirname(join(root, to)), { recursive: true });
      await link(from, join(root, to)).catch(() => copyFile(from, join(root, to)));
    };
    await put((await findBusyBox(report)).path, 'bin/busybox');
    for (const applet of ['sh', 'cat', 'chmod', 'cp', 'mkdir', 'mv', 'rm', 'sed', 'sleep', 'test', 'tr', 'true'])
      await symlink('busybox', join(root, 'bin', applet));
    const lines = ['FROM scratch', 'COPY rootfs/ /'];
    if (name === 'nginx') {
      const { path } = await findGateway('nginx', report);
      await put(path, 'usr/sbin/nginx');
      for (const library of (await shippedLibraries(path)).libraries) await put(await realpath(library), library.slice(1));
      // nginx opens its log of errors before it knows that it has another one.
      await mkdir(join(root, 'var/log/nginx'), { recursive: true });
    } else {
      await put((await (name === 'vault' ? findVault(report) : findTerraform(report))).path, `bin/${name}`);
      if (name === 'terraform') {
        await putMirror((await findProviders(report)).env['TF_CLI_CONFIG_FILE'] ?? '', root);
        lines.push('ENV TF_CLI_CONFIG_FILE=/etc/terraform.tfrc CHECKPOINT_DISABLE=1');
      }
    }
    await chmod(root, 0o755);
    await writeFile(join(context, 'Dockerfile'), `${lines.join('\n')}\n`);
    await withProgress(`image ${tag}: building`, report, () =>
      withoutCleaner(() => GenericContainer.fromDockerfile(context).build(tag, { deleteOnExit: false })),
    );
  });
}

/** Terraform's providers, which it finds in the image and so asks no registry for. */
async function putMirror(configuration: string, root: string): Promise<void> {
  for (const [, mirror = ''] of (await readFile(configuration, 'utf8')).matchAll(/path *= *"(.*)"/g))
    await cp(mirror, join(root, 'providers'), { recursive: true });
  await mkdir(join(root, 'etc'), { recursive: true });
  await writeFile(join(root, 'etc/terraform.tfrc'), 'provider_installation {\n  filesystem_mirror {\n    path = "/providers"\n  }\n}\n');
}
