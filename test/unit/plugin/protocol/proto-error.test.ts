import { expect, it } from 'vitest';
import { BackendError, ReadOnly } from '#broker/plugin/backend.ts';
import { protoError, unsupportedOperation } from '#broker/plugin/protocol/proto-error.ts';

/** Kinds: vault/sdk/plugin/pb/translation.go. */
it.each<[string, unknown, { errType: number; errMsg: string; errCode: bigint }]>([
  [
    'a node that may not write, by the text that Vault forwards at',
    new ReadOnly(),
    { errType: 0, errMsg: 'cannot write to readonly storage', errCode: 0n },
  ],
  [
    'an operation that there is not, by the kind that the rollback manager passes over',
    unsupportedOperation(),
    { errType: 5, errMsg: 'unsupported operation', errCode: 0n },
  ],
  ['403', new BackendError(403, 'no'), { errType: 3, errMsg: 'no', errCode: 403n }],
  ['404', new BackendError(404, 'no role'), { errType: 3, errMsg: 'no role', errCode: 404n }],
  ['405 with another text', new BackendError(405, 'not this way'), { errType: 3, errMsg: 'not this way', errCode: 405n }],
  ['409', new BackendError(409, 'changed'), { errType: 3, errMsg: 'changed', errCode: 409n }],
  ['412', new BackendError(412, 'old'), { errType: 3, errMsg: 'old', errCode: 412n }],
  ['429', new BackendError(429, 'slower'), { errType: 3, errMsg: 'slower', errCode: 429n }],
  ['500', new BackendError(500, 'broken'), { errType: 3, errMsg: 'broken', errCode: 500n }],
  ['503', new BackendError(503, 'later'), { errType: 3, errMsg: 'later', errCode: 503n }],
  ['an unforeseen error, without its message', new Error('hvs.secret'), { errType: 2, errMsg: 'internal error', errCode: 0n }],
  ['a thrown text', 'hvs.secret', { errType: 2, errMsg: 'internal error', errCode: 0n }],
  ['nothing thrown', undefined, { errType: 2, errMsg: 'internal error', errCode: 0n }],
])('%s', (_case, error, expected) => {
  expect(protoError(error)).toEqual(expected);
});
