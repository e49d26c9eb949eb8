import type { LineSink } from '#broker/batched-lines.ts';
import type { Config } from '#broker/config.ts';
import { Destination } from '#broker/destination.ts';
import type { DestinationOptions } from '#broker/destination.ts';
import { PosternError } from '#broker/error.ts';
import { SyslogDestination } from '#broker/syslog.ts';

/**
 * Where the audit goes: a syslog receiver, its file, or stdout.
 * @throws {PosternError} misconfigured where the file can't be opened
 */
export function openAudit({ POSTERN_AUDIT_FILE: file, POSTERN_AUDIT_SYSLOG: syslog }: Config, options: DestinationOptions = {}): LineSink {
  if (syslog !== undefined) return new SyslogDestination(syslog, options);
  return openDestination('POSTERN_AUDIT_FILE', file ?? 1, options);
}

/**
 * Where the log goes: its file, or stderr.
 * @throws {PosternError} misconfigured where the file can't be opened
 */
export function openLog({ POSTERN_LOG_FILE: file }: Config, options: DestinationOptions = {}): Destination {
  return openDestination('POSTERN_LOG_FILE', file ?? 2, options);
}

function openDestination(setting: string, target: number | string, options: DestinationOptions): Destination {
  try {
    return new Destination(target, options);
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw new PosternError('misconfigured', `${setting} cannot be opened (${code})`, {
      detail: 'The broker must be able to make and append to it: mind the owner of its folder.',
    });
  }
}
