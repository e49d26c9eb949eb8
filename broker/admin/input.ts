import type { FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { IDEMPOTENCY_KEY } from './idempotency.ts';
import type { Operation } from './operation.ts';
import { Problem } from './problem.ts';
import type { InputFault } from './problem.ts';

/** Everything that the client sent, of the right form. @throws {Problem} malformed-request, with every fault at once */
export function inputOf(
  request: FastifyRequest,
  operation: Pick<Operation, 'params' | 'query' | 'body' | 'repeatable'>,
): { params: unknown; query: unknown; body: unknown; key: string | undefined } {
  const faults: InputFault[] = [];
  const checked = (where: InputFault['in'], schema: z.ZodType, value: unknown): unknown => {
    const parsed = schema.safeParse(value);
    if (!parsed.success) faults.push(...parsed.error.issues.map((issue) => faultOf(where, issue)));
    return parsed.data;
  };
  const params = checked('path', operation.params, request.params);
  const query = checked('query', operation.query, request.query);
  const body = operation.body === undefined ? undefined : checked('body', operation.body.schema, request.body ?? undefined);
  const key = operation.repeatable ? request.headers['idempotency-key'] : undefined;
  if (key !== undefined && !(typeof key === 'string' && IDEMPOTENCY_KEY.test(key)))
    faults.push({ in: 'header', at: 'Idempotency-Key', detail: 'is 20 to 255 visible ASCII characters, such as a random UUID' });
  if (faults.length > 0)
    throw new Problem(
      'malformed-request',
      `${faults.length === 1 ? 'One part of the request is' : `${faults.length} parts of the request are`} not of the right form`,
      { errors: faults.slice(0, 50) },
    );
  return { params, query, body, key: key as string | undefined };
}

/** @returns where, and what is wrong; never the value, which may be a secret in the wrong field */
function faultOf(where: InputFault['in'], issue: z.core.$ZodIssue): InputFault {
  const path = issue.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0] ?? ''] : issue.path;
  const at =
    where === 'body' ? path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('') : String(path[0] ?? '');
  return {
    in: where,
    at: at.slice(0, 200),
    detail: issue.code === 'unrecognized_keys' ? 'is not known here' : issue.message.slice(0, 200),
  };
}
