import { PosternError } from '#broker/error.ts';
import { optional } from './parameter.ts';
import type { Parameters, Sent } from './parameter.ts';

/** What a token is for: Auth0's `audience`, or `resource` (RFC 8707 §2, RFC 8693 §2.1). It is for one API. */
export const TARGET_PARAMETERS: Parameters = {
  audience: {
    description: "Identifier of the API; where it is left out, the tenant's default API.",
    examples: ['https://orders.example.com'],
  },
  resource: {
    description: 'The same, as RFC 8707 names it: an absolute URI without a fragment. With `audience` beside it, both name one API.',
    another: severalTargets,
  },
};

/** RFC 3986 §4.3. */
const ABSOLUTE_URI = /^[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9\-._~:/?@!$&'()*+,;=[\]]|%[0-9A-Fa-f]{2})+$/;

/** @returns undefined where neither was sent. @throws {PosternError} invalid_target */
export function targetOf(sent: Sent): string | undefined {
  const audience = optional(sent, 'audience');
  const resource = optional(sent, 'resource');
  if (resource === undefined) return audience;
  if (!ABSOLUTE_URI.test(resource) || !URL.canParse(resource))
    throw new PosternError('invalid_target', 'The resource must be an absolute URI without a fragment');
  if (audience !== undefined && audience !== resource) throw severalTargets();
  return resource;
}

function severalTargets(): PosternError {
  return new PosternError('invalid_target', 'A token is issued for one target: send one resource, and the same audience or none');
}

/** RFC 8707 §2 and RFC 8693 §2.2.2 have a word of their own for a target that this client gets no token for. */
export function asInvalidTarget(error: unknown): never {
  if (error instanceof PosternError && error.code === 'access_denied')
    throw new PosternError('invalid_target', error.message, error.detail === undefined ? {} : { detail: error.detail });
  throw error;
}
