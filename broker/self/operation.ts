import type { z } from 'zod';
import type { RepeatableAnswer } from '#broker/admin/idempotency.ts';
import type { OperationDefinition } from '#broker/admin/operation.ts';
import type { Person } from '#broker/operator/key/owned.ts';

/** One request of a person's, authenticated and of the right form. */
export interface SelfCall<P, Q, B> {
  readonly person: Person;
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  readonly path: string;
  /** As the admin API's. */
  readonly marker: string | undefined;
  readonly keep: (draft: RepeatableAnswer) => Promise<void>;
  /** When keys were last used: ISO 8601, by key id. */
  readonly lastUse: (keyIds: readonly string[]) => Promise<ReadonlyMap<string, string>>;
}

type Form = 'id' | 'path' | 'tag' | 'summary' | 'description' | 'repeatable' | 'success' | 'refusals';

export interface SelfOperation extends Pick<OperationDefinition<unknown, unknown, unknown>, Form> {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly changes: boolean;
  readonly params: z.ZodType;
  readonly query: z.ZodType;
  readonly body?: { readonly name: string; readonly schema: z.ZodType } | undefined;
  // oxlint-disable-next-line typescript/no-explicit-any -- `selfOperation` has checked what belongs together
  handle(call: SelfCall<any, any, any>): Promise<RepeatableAnswer>;
  // oxlint-disable-next-line typescript/no-explicit-any
  recover?(call: SelfCall<any, any, any>, draft: RepeatableAnswer | undefined): Promise<RepeatableAnswer | undefined>;
  // oxlint-disable-next-line typescript/no-explicit-any
  undo?(call: SelfCall<any, any, any>, answer: RepeatableAnswer): Promise<void>;
}

interface Definition<P, Q, B> extends Omit<SelfOperation, 'params' | 'query' | 'body' | 'handle' | 'recover' | 'undo'> {
  readonly params: z.ZodType<P>;
  readonly query: z.ZodType<Q>;
  readonly body?: { readonly name: string; readonly schema: z.ZodType<B> } | undefined;
  handle(call: SelfCall<P, Q, B>): Promise<RepeatableAnswer>;
  recover?(call: SelfCall<P, Q, B>, draft: RepeatableAnswer | undefined): Promise<RepeatableAnswer | undefined>;
  undo?(call: SelfCall<P, Q, B>, answer: RepeatableAnswer): Promise<void>;
}

/** Checks a definition's types against each other. */
export function selfOperation<P, Q, B>(definition: Definition<P, Q, B>): SelfOperation {
  return definition;
}
