import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { pipeline } from 'node:stream/promises';

/** What anybody who receives a file can compare. */
export interface FileFacts {
  file: string;
  bytes: number;
  /** Hexadecimal. */
  sha256: string;
}

/** @param file its path */
export async function fileFacts(file: string): Promise<FileFacts> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return { file, bytes: (await stat(file)).size, sha256: hash.digest('hex') };
}

/** As `sha256sum --check` reads them. */
export function checksums(files: readonly FileFacts[]): string {
  return files.map(({ file, sha256 }) => `${sha256}  ${basename(file)}\n`).join('');
}
