import { SCOPE_TOKEN } from '#broker/authorization/documents.ts';
import type { GrantRequest } from '#broker/authorization/documents.ts';
import { BoundedMap } from '#broker/bounded-map.ts';
import { PosternError } from '#broker/error.ts';
import { parseForm } from './body.ts';
import type { Parameters } from './parameter.ts';
import { originForm } from './target.ts';

/** What a gateway demands of a key: written into the gateway's configuration, and nowhere else. */
export interface Demand {
  /**
   * Without scopes: the service gets a token with all that the key has at its API, so that one token a tenant and API serves every route.
   */
  readonly request: GrantRequest;
  readonly audience: string;
  /** Sorted, without repetition; the token must hold them all. */
  readonly scopes: readonly string[];
}

/** Ends the configured part of a path to which a gateway appends its client's own path and query, as Envoy does. */
const END = '/-/';
const CONFIGURED = /^\/verify\/audience\/([^/?#]+)(?:\/scope\/([^/?#]+))?$/;
const MAX_AUDIENCE = 1024;
const MAX_SCOPES = 100;
const ONE_SCOPE = SCOPE_TOKEN.source.slice(1, -1);

/** Of the query. */
export const DEMAND_PARAMETERS: Parameters = {
  audience: {
    description: 'Identifier of the API behind the gateway.',
    required: true,
    pattern: `^[\\x21-\\x7e]{1,${MAX_AUDIENCE}}$`,
    examples: ['https://orders.example.com'],
  },
  scope: {
    description: 'Scopes that the key must have, with spaces between.',
    pattern: `^${ONE_SCOPE}( ${ONE_SCOPE}){0,${MAX_SCOPES - 1}}$`,
    examples: ['read:orders'],
  },
};

/**
 * The demand in a request target of `/verify`, in one of two forms:
 *
 * - `/verify?audience=<audience>&scope=<scopes>`, where the gateway sends just this (nginx, Traefik, Caddy);
 * - `/verify/audience/<audience>/scope/<scopes>/-/…`, where it appends its client's path and query (Envoy). All that stands
 *   behind the first `/-/` is the client's own and never looked at.
 *
 * Both percent-encoded, scopes with spaces between, `scope` optional. The same text is read once: a gateway always sends the same.
 */
export class Demands {
  readonly #read = new BoundedMap<string, Demand>(1_000);

  /** @throws {PosternError} invalid_request where it is anything else: a parameter more, or twice, or without a value */
  of(target: string): Demand {
    const written = configuredPart(originForm(target));
    const known = this.#read.get(written);
    if (known !== undefined) return known;
    const demand = written.startsWith('/verify/') ? fromPath(written) : fromQuery(written);
    this.#read.set(written, demand);
    return demand;
  }
}

function configuredPart(target: string): string {
  if (!target.startsWith('/verify/')) return target;
  const end = target.indexOf(END);
  if (end === -1) throw malformed('has no /-/ behind its configured part');
  return target.slice(0, end);
}

function fromQuery(written: string): Demand {
  const query = written.indexOf('?');
  if (query === -1) throw malformed('names no audience');
  let parameters;
  try {
    parameters = parseForm(written.slice(query + 1));
  } catch {
    throw malformed('has a malformed query');
  }
  for (const name of parameters.keys())
    if (!Object.hasOwn(DEMAND_PARAMETERS, name)) throw malformed('has a parameter that is neither audience nor scope');
  return demandOf(parameters.get('audience'), parameters.get('scope'));
}

function fromPath(written: string): Demand {
  const match = CONFIGURED.exec(written);
  if (match === null) throw malformed('is not /verify/audience/<audience>/scope/<scopes>/-/');
  try {
    return demandOf(decodeURIComponent(match[1]!), match[2] === undefined ? undefined : decodeURIComponent(match[2]));
  } catch (error) {
    throw error instanceof PosternError ? error : malformed('has a malformed percent escape');
  }
}

function demandOf(audience: string | undefined, scope: string | undefined): Demand {
  if (audience === undefined || audience === '') throw malformed('names no audience');
  // oxlint-disable-next-line no-control-regex
  if (audience.length > MAX_AUDIENCE || /[\x00-\x20\x7f]/.test(audience)) throw malformed('names an impossible audience');
  const scopes = [...new Set(scope?.split(' ').filter((token) => token !== ''))].sort();
  // An empty variable in a gateway's template must not open the door to keys of any scope.
  if (scope !== undefined && scopes.length === 0) throw malformed('has an empty scope');
  if (scopes.length > MAX_SCOPES || scopes.some((token) => !SCOPE_TOKEN.test(token))) throw malformed('has a malformed scope');
  return { request: { audience, scope: undefined, organization: undefined }, audience, scopes };
}

function malformed(why: string): PosternError {
  return new PosternError('invalid_request', `The gateway's address of /verify ${why}`);
}
