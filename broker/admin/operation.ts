import type { z } from 'zod';
import type { RecentChanges } from '#broker/audit/recent-changes.ts';
import type { Caller, Need } from './caller.ts';
import type { RepeatableAnswer } from './idempotency.ts';
import type { Slug } from './problem.ts';

/** One request, authenticated and of the right form. */
export interface AdminCall<P, Q, B> {
  readonly caller: Caller;
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  /** The request's path, for links. */
  readonly path: string;
  /** 24 hexadecimal digits that name a repeatable request, for what it makes; undefined without an Idempotency-Key. */
  readonly marker: string | undefined;
  /** What was changed lately through this broker. */
  readonly changes: RecentChanges;
  /** See {@link Work.run}; does nothing without an Idempotency-Key. */
  readonly keep: (draft: RepeatableAnswer) => Promise<void>;
}

export interface ResponseHeader {
  readonly description: string;
  readonly schema: Readonly<Record<string, unknown>>;
  readonly required: boolean;
}

/** What an endpoint takes and gives: the server routes by it, and the OpenAPI document is made of it. */
export interface OperationDefinition<P, Q, B> {
  /** OpenAPI operationId, and the audit's `admin.<id>`. */
  readonly id: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With `{name}` for parameters, as OpenAPI writes them. */
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  readonly need: Need;
  readonly params: z.ZodType<P>;
  readonly query: z.ZodType<Q>;
  readonly body?: { readonly name: string; readonly schema: z.ZodType<B> } | undefined;
  /** Takes an Idempotency-Key. */
  readonly repeatable?: boolean;
  readonly success: {
    readonly status: 200 | 201 | 204;
    readonly description: string;
    /** Name and form of the body; none with 204. */
    readonly body?: { readonly name: string; readonly schema: z.ZodType } | undefined;
    readonly headers?: Readonly<Record<string, ResponseHeader>>;
  };
  /** Beyond those that every operation has. */
  readonly refusals: readonly Slug[];
  readonly handle: (call: AdminCall<P, Q, B>) => Promise<RepeatableAnswer>;
  /** Of a repeatable one: see {@link Work}. */
  readonly recover?: (call: AdminCall<P, Q, B>, draft: RepeatableAnswer | undefined) => Promise<RepeatableAnswer | undefined>;
  readonly undo?: (call: AdminCall<P, Q, B>, answer: RepeatableAnswer) => Promise<void>;
}

// oxlint-disable-next-line typescript/no-explicit-any -- each operation is checked where it is defined; the server handles them alike
export type Operation = OperationDefinition<any, any, any>;

/** Checks a definition's types against each other. */
export function operation<P, Q, B>(definition: OperationDefinition<P, Q, B>): Operation {
  return definition;
}
