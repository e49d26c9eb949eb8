import { inspect } from 'node:util';
import type { Finding } from './trust.ts';

/** `subject_token_type` (RFC 8693 §3) of an OIDC token that a workload already has. */
export const JWT_TOKEN_TYPES = ['urn:ietf:params:oauth:token-type:jwt', 'urn:ietf:params:oauth:token-type:id_token'] as const;

/** Characters; tokens of Kubernetes and the clouds are 1,000 to 3,000. */
const MAX_LENGTH = 8192;
/** RFC 7515 §7.1: compact, with a signature. */
const COMPACT = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+$/;

/** Signatures that are taken, all asymmetric, so that no public key can pass for a shared secret. The same in Terraform. */
export const TRUST_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384'] as const;

/** RFC 7515 §4.1: keys that a token brings along, and what changes how the rest is read. A nested JWT names its type in `cty`. */
const REFUSED = ['jwk', 'jku', 'x5u', 'x5c', 'crit', 'b64', 'cty', 'zip', 'enc'] as const;
/** No access token (`at+jwt`), logout token or proof of possession. Kubernetes leaves it out; SPIFFE allows JOSE. */
const TYPES: ReadonlySet<string> = new Set(['jwt', 'jose']);

export interface TrustedTokenOptions {
  /** By which a client names its tenant, where several might trust one token. */
  readonly clientId: string | undefined;
  /** Good once where it has a jti (RFC 7523 §3), rather than until it ends. */
  readonly once: boolean;
}

type JsonObject = Readonly<Record<string, unknown>>;

/** A JWT by which some issuer says who a workload is, as it came: nothing is verified yet. Redacted when printed. */
export class TrustedToken {
  readonly clientId: string | undefined;
  readonly once: boolean;
  readonly header: JsonObject;
  readonly claims: JsonObject;
  readonly #jwt: string;

  private constructor(jwt: string, header: JsonObject, claims: JsonObject, { clientId, once }: TrustedTokenOptions) {
    this.#jwt = jwt;
    this.header = header;
    this.claims = claims;
    this.clientId = clientId;
    this.once = once;
  }

  /** @returns undefined where the text can't be a signed JWT, or one that two parties could read differently */
  static of(jwt: string, options: TrustedTokenOptions): TrustedToken | undefined {
    const [, head, body] = (jwt.length <= MAX_LENGTH && COMPACT.exec(jwt)) || [];
    if (head === undefined || body === undefined) return undefined;
    const [header, claims] = [objectIn(head), objectIn(body)];
    return header === undefined || claims === undefined ? undefined : new TrustedToken(jwt, header, claims, options);
  }

  /** The JWT, for those who verify it. */
  reveal(): string {
    return this.#jwt;
  }

  toString(): string {
    return 'subject token [redacted]';
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

/** What the header must be, whatever the trust. */
export function judgeHeader({ alg, kid, typ, ...rest }: JsonObject): Finding[] {
  const brought = REFUSED.find((name) => Object.hasOwn(rest, name));
  const type = typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : typ;
  return [
    { of: 'alg', good: (TRUST_ALGORITHMS as readonly unknown[]).includes(alg), why: `must be one of ${TRUST_ALGORITHMS.join(', ')}` },
    { of: 'typ', good: type === undefined || TYPES.has(type as string), why: 'must be JWT, or left out' },
    { of: 'kid', good: kid === undefined || (typeof kid === 'string' && kid.length <= 255), why: 'must be text of at most 255 characters' },
    { of: brought ?? 'header', good: brought === undefined, why: `must have none of ${REFUSED.join(', ')}` },
  ];
}

function objectIn(part: string): JsonObject | undefined {
  try {
    const bytes = Buffer.from(part, 'base64url');
    // Another spelling of the same bytes, with bits set that count for nothing.
    if (bytes.toString('base64url') !== part) return undefined;
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    return membersIn(text) === membersOf(value) ? (value as JsonObject) : undefined;
  } catch {
    return undefined;
  }
}

/** Members as they are written: each has one colon outside of text. More than {@link membersOf}: a name stands twice. */
function membersIn(json: string): number {
  return json.replace(/"(?:[^"\\]|\\.)*"/g, '').split(':').length - 1;
}

function membersOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const inner = Object.values(value);
  return (Array.isArray(value) ? 0 : inner.length) + inner.reduce<number>((sum, one) => sum + membersOf(one), 0);
}
