import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { buildDist } from '#tools/dist/build.ts';
import type { Artifact } from '#tools/dist/build.ts';
import { emptyFolder } from '#tools/dist/folder.ts';
import { sbom } from '#tools/dist/sbom.ts';
import type { Report } from '#tools/part/part.ts';
import { checkout, packageVersion } from '#tools/part/version.ts';
import { prepareImage } from './root.ts';

export interface ImageContext {
  /** To hand to a builder. */
  folder: string;
  executable: Artifact;
  version: string;
  args: { VERSION: string; REVISION: string };
}

/**
 * Prepares all that a builder of images needs, which then fetches nothing.
 * @param folder receives the executable and, in `image/`, the context
 * @throws PosternError misconfigured where `image/` holds something else than an earlier context
 */
export async function imageContext(folder: string, report: Report): Promise<ImageContext> {
  const version = await packageVersion();
  const context = join(folder, 'image');
  await emptyFolder(context, /^(Dockerfile|rootfs)$/);
  const [executable] = await buildDist({ folder, kinds: ['executable'], report });
  if (executable === undefined) throw new Error('there is no executable to put into the image');
  const system = await prepareImage(executable, context);
  await writeFile(
    join(folder, 'postern-image.cdx.json'),
    sbom({ name: 'postern-image', version, packages: executable.packages, node: process.versions.node, system }),
  );
  const revision = await execa('git', ['rev-parse', 'HEAD'], { cwd: checkout, reject: false, stdin: 'ignore' });
  return { folder: context, executable, version, args: { VERSION: version, REVISION: revision.failed ? '' : revision.stdout.trim() } };
}
