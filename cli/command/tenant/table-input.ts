import { readFile, stat } from 'node:fs/promises';
import { PosternError } from '#broker/error.ts';
import { MOST_BYTES } from '#broker/operator/bulk/table.ts';
import type { Terminal } from '#cli/output.ts';

/** @param file `-` for standard input. @throws {PosternError} invalid_request */
export async function tableInput({ stdin, signal }: Terminal, file: string): Promise<Uint8Array> {
  if (file !== '-') {
    try {
      const { size } = await stat(file);
      if (size > MOST_BYTES) throw tooLong();
      return await readFile(file, { signal });
    } catch (error) {
      if (error instanceof PosternError || signal.aborted) throw error;
      throw new PosternError('invalid_request', `${file} can't be read (${(error as NodeJS.ErrnoException).code})`);
    }
  }
  if (stdin.isTTY)
    throw new PosternError('invalid_request', 'Nothing is piped in', { detail: 'Name a file, or pipe one: … | postern tenant import -' });
  const stop = (): void => void stdin.destroy(new Error('interrupted'));
  signal.addEventListener('abort', stop, { once: true });
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of stdin) {
      chunks.push(chunk as Uint8Array);
      size += (chunk as Uint8Array).length;
      if (size > MOST_BYTES) throw tooLong();
    }
    return Buffer.concat(chunks);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function tooLong(): PosternError {
  return new PosternError('invalid_request', 'The file is longer than 64 MB', { detail: 'Cut it in several.' });
}
