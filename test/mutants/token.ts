import type { Mutants } from './mutant.ts';

export const token: Mutants = {
  'broker/token/cache.ts': [
    [
      'changed-while-issued',
      "      this.#requireUnchanged(grant, begun);\n      await traced('store write'",
      "      await traced('store write'",
      'a token for a tenant disabled meanwhile is stored where an Agent finds it',
    ],
    [
      'changed-before-served',
      'begun, beginning === 0 ? early : undefined);\n      this.#requireUnchanged(grant, begun);',
      'begun, beginning === 0 ? early : undefined);',
      'a token for a tenant disabled meanwhile is served',
    ],
    ['forgotten-flight', 'if (flight.forgotten) continue;', '', 'what was forgotten comes back from a flight'],
    [
      'flights-not-forgotten',
      'for (const flight of this.#flights.values()) flight.forgotten ||= matches(flight.grant);',
      '',
      'what was forgotten comes back from a flight',
    ],
    ['no-single-flight', 'if (flying) {', 'if (flying && flying.forgotten === undefined) {', 'each caller costs a call to Auth0'],
    [
      'lent-refreshes-behind',
      'if (identity.lent) return this.#refreshWaiting(grant, identity, held);',
      '',
      'a lent Vault token is used after its request is answered',
    ],
    [
      'revoked-from-store',
      'stored.token !== undefined && this.#servable.isRevoked(stored.token, tenant) ? { ...stored, token: undefined } : stored',
      'stored',
      'a revoked token is written back with the lease',
    ],
    [
      'lease-ignored',
      'const free = isFree(stored.lease, this.#holder, storeNow, !patient && stored.version === first);',
      'const free = true;',
      'each replica asks Auth0 at once',
    ],
    [
      'paused-ignored',
      'if (stored.lease?.paused && stored.lease.until > storeNow) {',
      'if (stored.lease?.paused && stored.lease.until > Infinity) {',
      'Auth0 is asked again though it said when',
    ],
    ['fault-pauses-all', 'if (!error.here) return error.retryAfter;', 'return error.retryAfter;', "one machine's wrong clock stops all"],
    ['fault-asks-on', 'if (free) this.#requireFaultless(grant);', '', 'a machine whose clock is wrong asks Auth0 at every request'],
    ['placed-though-changed', 'if (obsolete) return;', '', 'a token for a tenant disabled meanwhile is stored a moment later'],
    [
      'not-placed-later',
      'void this.#placeLater(grant, token, version, begun);',
      '',
      'a token that could not be stored costs another call to Auth0',
    ],
  ],
  'broker/token/held-lease.ts': [['lease-not-kept', 'if (this.#left-- <= 0) return;', 'return;', 'a lease ends while its holder works']],
  'broker/token/servable.ts': [
    ['revoked-from-memory', ' && !this.isRevoked(token, tenant);\n', ';\n', 'a revoked token is served from memory'],
    ['revoked-by-hash', 'revocations?.has(sha256) === true ||', '', 'a revoked token is served'],
    [
      'tokens-ended',
      'issuedAt <= endings.tokensEndedAt(tenant)',
      'issuedAt < endings.tokensEndedAt(tenant)',
      'a token of the very second of the cut is served',
    ],
    ['ended-token-served', 'token.expiresAt * 1000 - now >= floor * 1000', 'floor >= 0', 'an ended token is served'],
  ],
  'broker/token/fresh-tokens.ts': [
    [
      'ends-at-once',
      'if (!this.#servable.includes(token, this.#clock.now(), grant.tenant)) throw',
      'if (token === undefined) throw',
      'a token that has ended is stored and served',
    ],
    [
      'revoked-again',
      "    if (this.#servable.isRevoked(token, grant.tenant))\n      throw new PosternError('temporarily_unavailable', 'The token issuer",
      "    if (token === undefined)\n      throw new PosternError('temporarily_unavailable', 'The token issuer",
      'a revoked token is issued again',
    ],
  ],
  'broker/token/exchange.ts': [
    [
      'client-id-beside',
      'request.clientId !== undefined && request.clientId !== clientId',
      'request.clientId === ""',
      'a wrong client_id beside a Vault token is not seen',
    ],
    [
      'early-for-narrowed',
      ' || identity.limit !== undefined) return undefined;',
      ') return undefined;',
      'a narrowed key reads the wide token ahead',
    ],
    ['early-for-lent', 'if (identity.lent) return undefined;', '', 'a lent token is used by a reading that nobody waits for'],
    ['early-for-all', 'grant.whole ? early : undefined', 'early', 'the wide token is served for a narrow grant'],
    [
      'changed-while-authorized',
      'if (this.#options.generations.since(identity.tenant, begun)) throw new Changed();',
      '',
      'authorized before an announcement, issued after it',
    ],
  ],
  'broker/token/introspection.ts': [
    ['foreign-is-told', "return 'foreign';\n    // An API", 'return token;\n    // An API', "a tenant learns of another's tokens"],
    [
      'own-by-name',
      'if (!sharedClient && clientId !== caller.clientId) return false;',
      '',
      "a former tenant's token is active for its successor",
    ],
    [
      'own-by-organization',
      'organization !== undefined && organization === grants.organization',
      'organization === grants.organization',
      "a token without an owner is everybody's",
    ],
    ['revoked-is-active', "if (revocations.has(token.sha256)) return 'revoked';", '', 'a revoked token is active'],
    ['ended-is-active', 'token.iat <= endings.tokensEndedAt(tenant) || ', '', 'a token from before the cut is active'],
    ['deleted-is-active', ' || endings.includesClient(token.clientId)', '', "a deleted tenant's token is active"],
    ['disabled-is-active', "if (isDisabled(tenant)) return 'disabled';", '', "a disabled tenant's token is active"],
    [
      'removed-api',
      "if ((await apis.byAudience(token.audience)) === undefined) return 'unknown';",
      '',
      'a token for a removed API is active',
    ],
    ['narrowed-serves', ' || identity.limit !== undefined) return false;', ') return false;', 'a narrowed key introspects for the API'],
    ['serves-any', 'api !== undefined && introspects.includes(api.name)', 'api !== undefined', 'who serves one API introspects all'],
  ],
  'broker/token/withdrawal.ts': [
    ['foreign-is-revoked', "if (!isOwn(token, identity, grants)) return 'foreign';", '', "a tenant revokes another's token"],
    [
      'store-not-cleared',
      "await this.#clearStore(identity, token, grants.organization ?? '', trace);",
      '',
      'a revoked token stays where an Agent reads it',
    ],
    [
      'key-is-a-token',
      'if (ApiKey.parse(text) !== undefined)\n',
      'if (text === "")\n',
      'who presents an API key takes a 200 for its revocation',
    ],
  ],
  'broker/token/revocations.ts': [
    [
      'archive-skipped',
      'if (missed) for (const one of await',
      'if (serial < 0) for (const one of await',
      'what was revoked before this replica began is served',
    ],
    [
      'serial-before-archive',
      'if (known === undefined || known.at < one.at) this.#revoked.set(one.sha256, one);',
      'if (known !== undefined) this.#revoked.set(one.sha256, one);',
      'nothing is learnt',
    ],
    [
      'forgotten-before-end',
      'return exp + KEPT_AFTER_END < nowMs / 1000;',
      'return exp - 3600 < nowMs / 1000;',
      'a revocation is forgotten while the token lives',
    ],
    ['one-fills-the-log', 'if (lately.length >= this.#perMinute) {', 'if (lately.length < 0) {', 'one tenant fills the log for all'],
  ],
  'broker/token/claims.ts': [
    [
      'claims-override',
      '    ...grant.claims,\n    [tenantClaim]: grant.tenant,',
      '    [tenantClaim]: grant.tenant,\n    ...grant.claims,',
      "a tenant's extra claim takes the place of its name",
    ],
    ['wrong-subject', '?? `${grant.clientId}@clients`', '?? `${grant.tenant}@clients`', 'services know the client by another name'],
    ['lifetime-doubled', 'exp: iat + grant.lifetime', 'exp: iat + grant.lifetime * 2', 'a token outlives what the API says'],
  ],
  'broker/token/issued-tokens.ts': [
    ['ended-is-read', ' || exp <= now || ', ' || ', 'an ended token is active'],
    ['several-audiences', 'audience.length !== 1 || ', '', 'a token for several APIs is judged by the first'],
    [
      'tenant-unchecked',
      "if (tenant !== undefined && !(typeof tenant === 'string' && NAME.test(tenant))) return undefined;",
      '',
      'a claim becomes a path in Vault',
    ],
  ],
  'broker/token/scope-sets.ts': [
    ['scope-sets-unbounded', 'if (held.size >= this.#most) {', 'if (held.size < 0) {', 'one tenant buys 2^n tokens at Auth0'],
  ],
};
