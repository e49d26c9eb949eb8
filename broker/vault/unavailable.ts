import { PosternError } from '#broker/error.ts';
import type { Unasked } from '#broker/error.ts';
import { VaultFault } from '#broker/vault-fault.ts';

/** A 503: Vault can't answer, which says nothing about the client. @param unasked where Vault was not asked at all */
export function unavailable(detail: string, retryAfter = 1, unasked?: Unasked): PosternError {
  return new PosternError('temporarily_unavailable', 'Service temporarily unavailable', { detail, retryAfter, unasked });
}

/** s; whatever Vault or a proxy before it asks for. */
const LONGEST = 3_600;

/** A 503 for a fault that says nothing about who asks. */
export function unanswered({ message, retryAfter, unasked }: VaultFault): PosternError {
  return unavailable(message, retryAfter === undefined ? undefined : Math.min(Math.max(retryAfter, 1), LONGEST), unasked);
}

/** A domain error for a Vault fault; anything else passes. */
export function asUnavailable(error: unknown): unknown {
  if (!(error instanceof VaultFault)) return error;
  if (error.isOfNoMount)
    return new PosternError('misconfigured', 'Service temporarily unavailable', {
      detail: error.message,
      retryAfter: 10,
      unasked: error.unasked,
    });
  return unanswered(error);
}
