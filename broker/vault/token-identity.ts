import { MAX_TOKEN_TTL, VaultToken } from '#broker/credential/identity.ts';
import type { Identity } from '#broker/credential/identity.ts';
import type { Endings } from '#broker/credential/endings.ts';
import { apiKeyOf, EXPIRY_METADATA, USES_METADATA } from './key-metadata.ts';
import type { KeyEnds } from './key-ends.ts';

/** What Vault says of a tenant's token: the answer to a login, or to a look-up of the token itself. */
export interface TokenFacts {
  readonly tenant: string;
  readonly clientId: string;
  readonly token: string;
  readonly forwardedFor: string | undefined;
  /** The metadata of the secret_id, as this very login was answered; empty for any other way to log in. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Seconds from `askedAt`; Infinity: it never ends. */
  readonly ttl: number;
  /** ms since 1970 */
  readonly askedAt: number;
  /** ms by which our clock is behind Vault's then, by which a credential ends. Default 0. */
  readonly behind?: number | undefined;
  /** Present where the token is the caller's own, lent for one request. */
  readonly lent?: { readonly createdAt: number };
}

/** What may have ended a credential beside its own end. */
export interface CredentialEnds {
  /** By a rotation. */
  readonly rotations: Pick<KeyEnds, 'of'>;
  /** Announced by operators. */
  readonly announced: Pick<Endings, 'includes'>;
  /** Announced by brokers: people who left, and keys that their owners revoked. */
  readonly departed?: Pick<Endings, 'includes'>;
}

/** The errors of a door: each has words of its own for the same fault. */
export interface Refusals {
  /** The secret_id or API key has ended. */
  ended(): unknown;
  /** The token lives longer than {@link MAX_TOKEN_TTL}. */
  tooLong(): unknown;
}

/**
 * The one way from Vault's answer to an {@link Identity}, whatever the door: what a key is narrowed to, when it ends (its own end, or that
 * which a rotation set, or an operator's announcement), and when its token does.
 * @throws {PosternError} what `refusals` says; misconfigured for metadata that can't be read; temporarily_unavailable
 */
export async function identityOf(
  facts: TokenFacts,
  { rotations, announced, departed }: CredentialEnds,
  refusals: Refusals,
): Promise<Identity> {
  const { tenant, clientId, forwardedFor, metadata, ttl, askedAt, behind = 0, lent } = facts;
  if (!lent && ttl > MAX_TOKEN_TTL) throw refusals.tooLong();
  const token = new VaultToken(facts.token);
  const named = apiKeyOf(metadata, tenant);
  const holder = { tenant, clientId, token, forwardedFor, ...(lent ? { lent: true as const } : {}) };
  const rotatedAt = named.keyId === undefined ? undefined : await rotations.of(named.keyId, holder);
  const secretEnd = Math.min(endOf(metadata[EXPIRY_METADATA]), rotatedAt ?? Infinity) * 1000;
  // Vault removes an ended secret_id when it next tidies up, which may be a minute later, and its tokens live on: both still look good
  // there.
  if (secretEnd <= askedAt + behind) throw refusals.ended();
  // The margin keeps a request that starts just in time from ending with a dead token. A lent one is used at once.
  const tokenEnd = askedAt + ttl * 1000 - (lent ? 0 : Math.min(5000, ttl * 100));
  const identity: Identity = {
    tenant,
    clientId,
    token,
    forwardedFor,
    expiresAt: Math.min(tokenEnd, secretEnd),
    endsAt: secretEnd,
    ...(metadata[USES_METADATA] === undefined ? {} : { counted: true as const }),
    ...(lent ? { lent: true as const, createdAt: lent.createdAt } : {}),
    ...named,
  };
  if (announced.includes(identity) || departed?.includes(identity)) throw refusals.ended();
  return identity;
}

/** Seconds since 1970; Infinity where there is no end. */
function endOf(metadata: unknown): number {
  const end = Number(metadata);
  return end > 0 ? end : Infinity;
}
