import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GenericContainer, getContainerRuntimeClient, ImageName } from 'testcontainers';
import { fileFacts } from '#tools/dist/file.ts';
import { imageContext } from '#tools/image/image.ts';
import type { ImageContext } from '#tools/image/image.ts';
import { checkout } from '#tools/part/version.ts';
import { withoutCleaner } from './image.ts';

/**
 * The broker's image in the engine of this run, built of this very checkout; the same sources are not built into an image twice.
 * @param folder receives what it is built from: the executable, and the builder's context
 */
export async function findPosternImage(folder: string): Promise<{ name: string; context: ImageContext }> {
  const made = await imageContext(folder, () => {});
  return { name: await imageOf(made), context: made };
}

/** @returns the image's name and tag */
export async function imageOf({ folder: context, args }: ImageContext): Promise<string> {
  const executable = await fileFacts(join(context, 'rootfs/postern'));
  const recipe = await readFile(join(checkout, 'deploy/image/Dockerfile'));
  const files = await readFile(join(checkout, 'tools/image/root.ts'));
  const key = createHash('sha256').update(executable.sha256).update(recipe).update(files).digest('hex').slice(0, 16);
  const name = `postern:test-${key}`;
  const client = await getContainerRuntimeClient();
  if (!(await client.image.exists(ImageName.fromString(name))))
    await withoutCleaner(() => GenericContainer.fromDockerfile(context).withBuildArgs(args).build(name, { deleteOnExit: false }));
  return name;
}
