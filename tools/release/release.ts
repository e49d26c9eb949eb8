import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { checksums, fileFacts } from '#tools/dist/file.ts';
import type { FileFacts } from '#tools/dist/file.ts';
import { buildDist } from '#tools/dist/build.ts';
import { emptyFolder } from '#tools/dist/folder.ts';
import { imageContext } from '#tools/image/image.ts';
import type { Report } from '#tools/part/part.ts';
import { checkout, packageVersion } from '#tools/part/version.ts';
import { buildPlugin } from '#tools/plugin/build.ts';
import { releaseFaults } from './check.ts';
import { deployArchive } from './deploy.ts';
import { saveImage } from './image.ts';

/** What is in a release's folder: its files, what signing adds, and what a build that broke off has left. */
const RELEASED = /^(postern[-.].*|postern|SHA256SUMS(\..*)?|image|\.(postern|executable|package)[-.].*)$/;

export interface ReleaseOptions {
  /** Receives the files; an older release in it is removed first. */
  folder: string;
  /** A build to try: neither the changelog nor git must be ready. */
  snapshot: boolean;
  report: Report;
}

/**
 * Writes all that is released into one folder, with `SHA256SUMS`, which is what is signed (docs/release.md).
 * @throws Error that names everything that keeps these sources from being released, or with what the failing tool said
 */
export async function makeRelease({ folder, snapshot, report }: ReleaseOptions): Promise<FileFacts[]> {
  const version = await packageVersion();
  const changelog = await readFile(join(checkout, 'CHANGELOG.md'), 'utf8');
  const faults = releaseFaults({ version, changelog, ...(await gitState()) }, snapshot);
  if (faults.length > 0) throw new Error(`not to be released:\n${faults.map((fault) => `  ${fault}`).join('\n')}`);
  await emptyFolder(folder, RELEASED);
  await mkdir(folder, { recursive: true });
  const platform = `${process.platform}-${process.arch}`;

  await buildDist({ folder, kinds: ['package'], report });
  if (process.platform === 'linux') {
    const context = await imageContext(folder, report);
    await saveImage(context, join(folder, `postern-image-${version}-${platform}.tar.gz`), report);
    await rm(context.folder, { recursive: true, force: true });
  } else {
    report('image: left out, it is built on Linux');
    await buildDist({ folder, kinds: ['executable'], report });
  }
  await buildPlugin({ folder, report });
  await deployArchive(join(folder, `postern-deploy-${version}.tar.gz`), version);
  // What runs on one platform alone says which.
  for (const name of ['postern', 'postern.cdx.json', 'postern.notice.txt', 'postern-image.cdx.json'])
    await rename(join(folder, name), join(folder, name.replace(/^(postern(-image)?)/, `$1-${version}-${platform}`))).catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT' || name !== 'postern-image.cdx.json') throw error;
      },
    );
  const files = await Promise.all((await readdir(folder)).sort().map((name) => fileFacts(join(folder, name))));
  await writeFile(join(folder, 'SHA256SUMS'), checksums(files));
  return files;
}

async function gitState(): Promise<{ changed: string[] | undefined; tags: string[] }> {
  const git = (...args: string[]) => execa('git', args, { cwd: checkout, reject: false, stdin: 'ignore' });
  const [status, tags] = await Promise.all([git('status', '--porcelain'), git('tag', '--points-at', 'HEAD')]);
  if (status.failed) return { changed: undefined, tags: [] };
  const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');
  return { changed: lines(status.stdout).map((line) => line.slice(3)), tags: lines(tags.stdout ?? '') };
}
