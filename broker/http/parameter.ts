import { PosternError } from '#broker/error.ts';
import type { Call } from './route.ts';

/** One parameter of an endpoint: how it is read, and how the OpenAPI document tells of it. */
export interface Parameter {
  readonly description: string;
  readonly required?: boolean;
  /** The only value that it can have. */
  readonly value?: string;
  readonly examples?: readonly string[];
  /** What its value looks like. */
  readonly pattern?: string;
  /** It is known only to be refused. */
  readonly refused?: boolean;
  /** It may be sent again with the same value; with another one the request ends with this. Without it, it may be sent once. */
  readonly another?: () => PosternError;
}

export type Parameters = Readonly<Record<string, Parameter>>;

/** The parameters of one request. RFC 6749 §3.2: none may be repeated, and one without a value counts as left out. */
export type Sent = ReadonlyMap<string, string>;

/** A parameter's value; without one it counts as left out (RFC 6749 §3.2). */
export function optional(sent: Sent | undefined, name: string): string | undefined {
  const value = sent?.get(name);
  return value === '' ? undefined : value;
}

/** @throws {PosternError} invalid_request */
export function required(sent: Sent, name: string): string {
  const value = optional(sent, name);
  if (value === undefined) throw new PosternError('invalid_request', `Missing required parameter: ${name}`);
  return value;
}

/**
 * RFC 6749 §2.3.1, §3.2: tokens and credentials never go into the URI, where logs would keep them. @throws {PosternError} invalid_request
 */
export function refuseQuery({ call: { request } }: { readonly call: Call }): void {
  if (request.url?.includes('?')) throw new PosternError('invalid_request', 'Parameters must be in the request body, not in the URI');
}
