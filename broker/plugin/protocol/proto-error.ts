import type { ProtoError } from '#broker/plugin/proto/generated/backend.ts';
import { BackendError, ReadOnly } from '#broker/plugin/backend.ts';

/** Kinds of `pb.ProtoError`: Vault makes the Go error of that kind of it. */
const KIND = { unknown: 0, internal: 2, coded: 3, unsupportedOperation: 5, unsupportedPath: 6 } as const;

/** What Vault's rollback manager and its HTTP door know an operation by that an engine does not have. */
const UNSUPPORTED = 'unsupported operation';

/**
 * An engine's error, as Vault understands it. Of an unforeseen one nothing is told but that there was one: its message
 * may hold anything.
 */
export function protoError(error: unknown): ProtoError {
  // Vault has no kind for it: it looks for this text, and forwards the request to the active node.
  if (error instanceof ReadOnly) return { errType: KIND.unknown, errMsg: error.message, errCode: 0n };
  if (!(error instanceof BackendError)) return { errType: KIND.internal, errMsg: 'internal error', errCode: 0n };
  if (error.status === 405 && error.message === UNSUPPORTED)
    return { errType: KIND.unsupportedOperation, errMsg: error.message, errCode: 0n };
  return { errType: KIND.coded, errMsg: error.message, errCode: BigInt(error.status) };
}

/** Vault asks each engine regularly to undo unfinished work; by this it knows that there is nothing to undo. */
export function unsupportedOperation(): BackendError {
  return new BackendError(405, UNSUPPORTED);
}

/** Whether an error was foreseen, so that the log need not hold it. */
export function foreseen(error: unknown): boolean {
  return error instanceof ReadOnly || error instanceof BackendError;
}
