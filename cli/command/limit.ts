import { PosternError } from '#broker/error.ts';
import { parseLimits } from '#broker/rate-limit/limits.ts';
import type { Limits } from '#broker/rate-limit/limits.ts';

/** `--limit 100/s --limit 600/min`, or both in one with a comma. @throws {PosternError} invalid_request */
export function limits(given: readonly string[]): Limits {
  try {
    return parseLimits(given.join(','));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new PosternError('invalid_request', `--limit: ${error.message}`);
  }
}
