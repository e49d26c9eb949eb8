import { PosternError } from '#broker/error.ts';
import { BackendError, ReadOnly } from '#broker/plugin/backend.ts';

/** A domain room's error as Vault answers it. What only an operator may know goes to Vault's log, not here. */
export function asBackendError(error: unknown): unknown {
  if (!(error instanceof PosternError) || error instanceof ReadOnly) return error;
  const { code, message, retryAfter } = error;
  if (code === 'temporarily_unavailable' || code === 'too_many_requests') {
    return new BackendError(
      503,
      `${message}. Tokens at hand are served while they live${retryAfter === undefined ? '' : `; try again in ${retryAfter} s`}`,
    );
  }
  if (code === 'misconfigured')
    return new BackendError(503, `${message}: an operator must mend this, and Vault's log says how (look for the plugin's lines)`);
  return new BackendError(STATUS[code] ?? 400, message);
}

/** For the log: our own errors' words, and of others only what they are called. */
export function reasonOf(error: unknown): string {
  if (error instanceof PosternError) return error.detail ?? error.message;
  if (error instanceof BackendError) return error.message;
  return error instanceof Error ? error.name : 'unknown';
}

const STATUS: Readonly<Partial<Record<PosternError['code'], BackendError['status']>>> = {
  unauthorized_client: 403,
  access_denied: 403,
  not_found: 404,
  conflict: 409,
};
