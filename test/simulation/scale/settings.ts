import { schema } from '#broker/config-schema.ts';

/** Of a broker as it is where nobody sets anything. */
export interface BrokerSettings {
  /** How long a verification is remembered, s. */
  readonly verifyTtl: number;
  /** A token is served only with so many seconds left. */
  readonly minRemaining: number;
  /** Verifications and tokens in memory. */
  readonly credentials: number;
  readonly tokens: number;
  /** Between two writings of last uses and of exchanges, s. */
  readonly usageInterval: number;
}

export function defaultSettings(): BrokerSettings {
  const { shape } = schema;
  return {
    verifyTtl: shape.POSTERN_VERIFY_TTL.parse(undefined),
    minRemaining: shape.POSTERN_MIN_REMAINING.parse(undefined),
    credentials: shape.POSTERN_CACHE_CREDENTIALS.parse(undefined),
    tokens: shape.POSTERN_CACHE_TOKENS.parse(undefined),
    usageInterval: shape.POSTERN_USAGE_INTERVAL.parse(undefined),
  };
}
