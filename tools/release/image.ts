import { createReadStream, createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { execa } from 'execa';
import type { ImageContext } from '#tools/image/image.ts';
import { buildImage } from '#tools/image/root.ts';
import type { Report } from '#tools/part/part.ts';

/**
 * Builds the image and writes it as `docker load` takes it, compressed. Where no engine answers, the context to build it from, as an
 * archive, takes its place: `docker build` takes that one too.
 * @param file `.tar.gz`
 */
export async function saveImage({ folder, version, args }: ImageContext, file: string, report: Report): Promise<void> {
  const tag = `postern:${version}`;
  const tar = `${file}.tmp`;
  try {
    try {
      await buildImage(folder, tag, args);
      const saved = await execa('docker', ['save', '--output', tar, tag], { reject: false, stdin: 'ignore' });
      if (saved.failed) {
        const byPodman = await execa('podman', ['save', '--output', tar, tag], { reject: false, stdin: 'ignore' });
        if (byPodman.failed) throw new Error(`the image can't be saved: ${saved.stderr?.slice(0, 300)}`);
      }
      await pipeline(createReadStream(tar), createGzip({ level: 9 }), createWriteStream(file));
    } catch (error) {
      report(`image: ${(error as Error).message.split('\n')[0]}; what it is built from is written in its place`);
      await execa('tar', ['--create', '--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--file', tar, '-C', folder, '.']);
      await pipeline(createReadStream(tar), createGzip({ level: 9 }), createWriteStream(file.replace(/\.tar\.gz$/, '-context.tar.gz')));
    }
  } finally {
    await rm(tar, { force: true });
  }
}
