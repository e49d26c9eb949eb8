import type { Config } from '#broker/config.ts';
import { Destination } from '#broker/destination.ts';
import type { DestinationOptions } from '#broker/destination.ts';
import { PosternError } from '#broker/error.ts';

/**
 * Where the audit goes: its file, or stdout.
 * @throws {PosternError} misconfigured where the file can't be opened
 */
export function openAudit({ POSTERN_AUDIT_FILE: file }: Config, options: DestinationOptions = {}): Destination {
  try {
    return new Destination(file ?? 1, options);
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw new PosternError('misconfigured', `POSTERN_AUDIT_FILE cannot be opened (${code})`, {
      detail: 'The broker must be able to make and append to it: mind the owner of its folder.',
    });
  }
}
