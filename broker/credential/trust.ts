import { createHash } from 'node:crypto';
import { matchesPattern, patternFault } from './subject-pattern.ts';

/** Where an issuer's public keys come from: by its discovery document unless told. */
export interface KeySource {
  readonly issuer: string;
  /** A key set (RFC 7517 §5) in place of the discovery document's. */
  readonly jwksUrl: string | undefined;
  /** PEM, in place of both: nothing is fetched. */
  readonly keys: readonly string[] | undefined;
  /** Certificates that the issuer's are signed by; undefined: those that everybody trusts. */
  readonly caPem: string | undefined;
}

/** Which workloads of an issuer are a tenant's, as its operators wrote it down. All of it is public. */
export interface Trust extends KeySource {
  readonly name: string;
  readonly tenant: string;
  readonly clientId: string;
  readonly audience: string;
  /** One of the two. */
  readonly subject: string | undefined;
  readonly subjectPattern: string | undefined;
  /** Claim, or JSON pointer (RFC 6901) to one, -> the text that it must be. */
  readonly claims: Readonly<Record<string, string>>;
  /** What it is narrowed to within the tenant's grants; undefined: nothing. */
  readonly scopes: readonly string[] | undefined;
}

/** What one look at a token found. Says nothing of what stands in the token but in `found`. */
export interface Finding {
  /** The claim or header parameter. */
  readonly of: string;
  readonly good: boolean;
  readonly why: string;
  /** What the token has there, shortened; for the operator who tests a trust. */
  readonly found?: string | undefined;
}

/** How far an issuer's clock may be off, seconds. */
export const TRUST_SKEW = 30;
/** Longest time from now to a token's end, seconds: workloads' tokens live minutes to a day. */
export const TRUST_LIFE = 86_400;

const MAX_TEXT = 1024;
/** Visible ASCII: a claim that looks like another in a log, and isn't, names nobody. */
const PLAIN = /^[\x21-\x7e]{1,1024}$/;

/** The segment of a Vault path that stands for an issuer; the same in Terraform. */
export function issuerId(issuer: string): string {
  return createHash('sha256').update(issuer).digest('hex').slice(0, 16);
}

/** Under which trusts of an issuer and audience are found where no client_id is sent; the same in Terraform. */
export function trustIndex(issuer: string, audience: string): string {
  return createHash('sha256').update(`${issuer}\n${audience}`).digest('hex');
}

/** Why a text can't be the issuer of a trust; undefined where it can. One spelling each, since it is compared letter by letter. */
export function issuerFault(issuer: string): string | undefined {
  if (!PLAIN.test(issuer)) return 'is not visible ASCII of at most 1,024 characters';
  if (/[?#\\%*]/.test(issuer) || !URL.canParse(issuer)) return 'is not an address without query, fragment and escapes';
  const { href, protocol, username, password } = new URL(issuer);
  if (protocol !== 'https:') return 'is not an https address';
  if (username !== '' || password !== '') return 'has a user name';
  return href === issuer || href === `${issuer}/` ? undefined : `is not spelled as ${href}`;
}

/** Why a trust can't be one; undefined where it can. */
export function trustFault(trust: Omit<Trust, 'name' | 'tenant' | 'clientId'>): string | undefined {
  const issuer = issuerFault(trust.issuer);
  if (issuer !== undefined) return `issuer ${issuer}`;
  if (!PLAIN.test(trust.audience) || trust.audience.includes('*')) return 'audience is not visible ASCII without *';
  if ((trust.subject === undefined) === (trust.subjectPattern === undefined)) return 'needs either subject or subject_pattern';
  if (trust.subject !== undefined && (!PLAIN.test(trust.subject) || trust.subject.includes('*')))
    return 'subject is not visible ASCII without *: a pattern is a subject_pattern';
  const pattern = trust.subjectPattern === undefined ? undefined : patternFault(trust.subjectPattern);
  if (pattern !== undefined) return `subject_pattern ${pattern}`;
  for (const [claim, value] of Object.entries(trust.claims)) {
    if (!PLAIN.test(claim) || ['iss', 'aud', 'sub', 'exp', 'nbf', 'iat'].includes(claim)) return 'claims names one that it can not';
    if (!PLAIN.test(value) || value.includes('*')) return `claims: the value of ${claim} is not visible ASCII without *`;
  }
  if (trust.jwksUrl !== undefined && (!URL.canParse(trust.jwksUrl) || new URL(trust.jwksUrl).protocol !== 'https:'))
    return 'jwks_url is not an https address';
  if (trust.scopes?.length === 0) return 'scopes is empty: leave it out for all that the tenant is granted';
  return undefined;
}

/** All that the claims of a token must be for this trust, in the order in which people read them. @param nowMs ms since 1970 */
export function judge(trust: Trust, claims: Readonly<Record<string, unknown>>, nowMs: number): Finding[] {
  const { iss, aud, sub } = claims;
  const audiences: unknown[] = Array.isArray(aud) ? aud : [aud];
  const subject =
    trust.subject === undefined
      ? typeof sub === 'string' && sub.length <= MAX_TEXT && matchesPattern(trust.subjectPattern ?? '', sub)
      : sub === trust.subject;
  return [
    finding('iss', iss === trust.issuer, `must be ${trust.issuer}, letter by letter`, iss),
    finding(
      'aud',
      audiences.length > 0 && audiences.every((one) => one === trust.audience),
      `must be ${trust.audience} and nobody else besides`,
      aud,
    ),
    finding('sub', subject, `must be ${trust.subject ?? `like ${trust.subjectPattern}`}`, sub),
    ...Object.entries(trust.claims).map(([claim, value]) => {
      const found = claimOf(claims, claim);
      return finding(claim, found === value, `must be the text ${value}`, found);
    }),
    ...times(claims, nowMs / 1000),
  ];
}

function times({ exp, nbf, iat }: Readonly<Record<string, unknown>>, now: number): Finding[] {
  const isTime = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value) && value >= 0;
  const ahead = (value: unknown): boolean => value === undefined || (isTime(value) && value <= now + TRUST_SKEW);
  return [
    finding('exp', isTime(exp) && exp > now - TRUST_SKEW, 'must be a time that has not come', exp),
    finding('exp', isTime(exp) && exp <= now + TRUST_LIFE + TRUST_SKEW, `must be at most ${TRUST_LIFE} seconds away`, exp),
    finding('nbf', ahead(nbf), 'must not lie ahead', nbf),
    finding('iat', ahead(iat), 'must not lie ahead', iat),
  ];
}

/** A claim by its name, or by a JSON pointer where that begins with a slash, as Vault reads `bound_claims`. */
function claimOf(claims: Readonly<Record<string, unknown>>, name: string): unknown {
  if (!name.startsWith('/')) return Object.hasOwn(claims, name) ? claims[name] : undefined;
  let at: unknown = claims;
  for (const step of name.slice(1).split('/')) {
    const key = step.replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof at !== 'object' || at === null || Array.isArray(at) || !Object.hasOwn(at, key)) return undefined;
    at = (at as Record<string, unknown>)[key];
  }
  return at;
}

function finding(of: string, good: boolean, why: string, found: unknown): Finding {
  return { of, good, why, found: found === undefined ? undefined : JSON.stringify(found)?.slice(0, 200) };
}
