import type { Operation } from '#broker/plugin/backend.ts';

const OPERATIONS = {
  create: true,
  read: true,
  update: true,
  patch: true,
  delete: true,
  list: true,
  help: true,
  'alias-lookahead': true,
  'resolve-role': true,
  revoke: true,
  renew: true,
  rollback: true,
  header: true,
} as const satisfies Record<Operation, true>;

/** @returns undefined for an operation that a later Vault has thought of */
export function readOperation(text: string): Operation | undefined {
  return Object.hasOwn(OPERATIONS, text) ? (text as Operation) : undefined;
}
