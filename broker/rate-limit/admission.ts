import { PosternError } from '#broker/error.ts';
import type { Allowance, Window } from './allowance.ts';

/** What became of one request. */
export interface Admission {
  /** The window that is used up for longest; undefined: the request is let through. */
  readonly exhausted: { readonly window: Window; readonly seconds: number } | undefined;
  /** `RateLimit-Policy` and `RateLimit`, as names and values in turn. */
  readonly fields: readonly string[];
}

/** What is left of a window, and the seconds until all of it is there again. */
export interface Left {
  readonly window: Window;
  readonly remaining: number;
  readonly seconds: number;
}

/** The port to who counts. */
export interface Limiter {
  /** Counts one request in all allowances, or in none of them where one is used up. At once where nobody has to be asked. */
  admit(allowances: readonly Allowance[]): Admission | Promise<Admission>;
}

/** draft-ietf-httpapi-ratelimit-headers-10: what applies, and what is left of it. */
export function fieldsOf(allowances: readonly Allowance[], left: readonly Left[]): readonly string[] {
  const [first] = allowances;
  const policy = allowances.length === 1 && first !== undefined ? first.policy : allowances.map((one) => one.policy).join(', ');
  let limit = '';
  for (const { window, remaining, seconds } of left) limit += `${limit === '' ? '' : ', '}"${window.name}";r=${remaining};t=${seconds}`;
  return ['RateLimit-Policy', policy, 'RateLimit', limit];
}

const SPAN: Readonly<Record<number, string>> = { 1: 'second', 60: 'minute', 86_400: 'day' };

/** The answer to a request that comes too often. Its client was verified, so it may know its limits. */
export function limitExceeded({ window, seconds }: NonNullable<Admission['exhausted']>): PosternError {
  const of = window.name.startsWith('key-') ? 'this API key' : 'this client';
  return new PosternError('limit_exceeded', `Too many requests: ${of} may send ${window.quota} a ${SPAN[window.seconds] ?? 'time'}`, {
    retryAfter: seconds,
  });
}
