import type { Mutants } from '#test/mutants/mutant.ts';

/** Faults that were made here, or might be, and that show when much happens at once: what `make simulate ARGS=--bite` puts back. */
export const faults: Mutants = {
  'broker/token/lease.ts': [
    [
      'lease-never-freed',
      'lease.holder === holder || lease.until <= now || unchanged',
      'lease.holder === holder',
      'the lease of a broker that died is never taken',
    ],
    ['lease-ignored', 'return lease === undefined', 'return true || lease === undefined', 'each broker asks Auth0 by itself'],
    ['own-lease-waited-for', 'lease.holder === holder || ', '', 'a broker waits for its own lease, whose reply was lost'],
  ],
  'broker/wiring/issuance.ts': [
    ['lease-by-own-clock', 'client.clock.theirs;', 'clock.now();', "two machines whose clocks differ take each other's leases for ended"],
  ],
  'broker/token/cache.ts': [
    ['no-single-flight', 'if (flying) {', 'if (flying && flying.forgotten === undefined) {', 'each request flies by itself'],
    [
      'token-not-stored',
      "await traced('store write', () => this.#place(grant, token, known, begun, read));",
      '',
      'what one broker has fetched the others never see',
    ],
    [
      'ended-while-verified',
      'genuine && this.#servable.includes(stored.token, grant.tenant)',
      'genuine',
      'a token is served that ended while it was being verified',
    ],
    [
      'second-reading-missing',
      'stored = this.#unrevoked(await read(), grant);\n    }',
      '}',
      'who lost the race for the lease does not look what the winner has stored',
    ],
  ],
  'broker/vault/tokens.ts': [
    [
      'store-without-check-and-set',
      'write(pathOf(grant), data, version, ',
      'write(pathOf(grant), data, undefined as never, ',
      'the write of a token overwrites what came in between',
    ],
  ],
  'broker/token/stored-lately.ts': [
    [
      'void-token-left',
      'if (this.#stopped || this.#cancel',
      'if (!this.#stopped || this.#cancel',
      'a token that a broker stored though it had ended lies there for whoever reads the store',
    ],
  ],
  'broker/token/document.ts': [
    ['digest-not-compared', ' || found.grant !== grant.digest', '', 'what was stored for fewer scopes is served for all'],
  ],
  'broker/auth0/source.ts': [
    [
      'pause-unheeded',
      'else this.#pausedUntil = Math.max(this.#pausedUntil, until);',
      '',
      'a broker goes on asking Auth0, which has asked for a pause',
    ],
  ],
  'broker/credential/catalog-watch.ts': [
    [
      'catalogue-unheeded',
      'return this.#disabled.has(tenant);',
      'return false && this.#disabled.has(tenant);',
      'whom Terraform disables is served',
    ],
  ],
  'broker/credential/endings.ts': [
    [
      'issued-not-ended',
      "return kind === 'tokens' || kind === 'issued';",
      "return kind === 'tokens';",
      'who was narrowed keeps the tokens of before',
    ],
    [
      'ended-tidied-early',
      'if (ending.until * 1000 >= now) continue;',
      'if (ending.at * 1000 >= now) continue;',
      'what has ended is tidied away while it matters',
    ],
  ],
  'broker/clock-difference.ts': [
    ['behind-unheeded', 'return ms > 0 ? ms + 1_000 : 0;', 'return 0;', 'by a clock that is behind a token is served after its end'],
  ],
  'broker/token/servable.ts': [
    ['too-little-left', 'left >= floor * 1000 &&', 'left >= floor &&', 'a token is served that ends before it can be used'],
    ['served-past-end', '>= floor * 1000 && left > 0', '>= -30_000', 'a token is served after its end'],
    ['revocation-unheeded', 'revocations?.has(sha256) === true ||', '', 'a token that was taken back is served on'],
    [
      'end-of-tokens-unheeded',
      '(endings !== undefined && issuedAt <= endings.tokensEndedAt(tenant)) ||',
      '',
      'tokens that an operator ended are served on',
    ],
  ],
  'broker/authorization/authorization.ts': [
    [
      'cache-key-without-scope',
      'this.audience, scopes, this.organization',
      'this.audience, this.organization',
      'one token for all scope sets',
    ],
    [
      'cache-key-without-tenant',
      '[issuer, this.tenant, this.clientId, ',
      '[issuer, ',
      "one token for all tenants: another's is served from memory",
    ],
    ['cache-key-without-audience', 'this.clientId, this.audience, scopes', 'this.clientId, scopes', 'one token for all APIs'],
  ],
  'broker/vault/grants.ts': [
    ['grants-by-wrong-token', 'token: identity.token.reveal()', "token: 'hvs.1.broker'", "grants are not read with the tenant's own token"],
  ],
  'broker/credential/generations.ts': [
    [
      're-check-missing',
      'return this.#count > begun &&',
      'return begun < 0 && this.#count > begun &&',
      'what was announced while a decision waited does not count',
    ],
  ],
  'broker/credential/announcements.ts': [
    [
      'standstill-unheeded',
      'this.#clock.monotonic() - monotonic <= OVERSLEPT_MS && this.#clock.now() - wall <= OVERSLEPT_MS',
      'true',
      'a process that stood still serves by what it knew before',
    ],
    ['sleep-unheeded', ' && this.#clock.now() - wall <= OVERSLEPT_MS', '', 'a machine that slept serves by what it knew before'],
    [
      'look-lost-while-catching-up',
      'this.#catchingUp === undefined ? this.catchUp() : undefined;',
      'this.catchUp();',
      'what is announced is never looked at again after a standstill',
    ],
    ['disable-unheeded', 'this.#disabled = new Set(now.disabled);', 'this.#disabled = new Set();', 'a disabled tenant is served'],
    [
      'not-read-after-reconnect',
      '    if (this.#stopped) return;\n    // What was asked',
      '    if (this.#stopped || this.#away) return;\n    // What was asked',
      'after an outage announcements are not read any more',
    ],
    [
      'one-of-all-counts',
      'return Math.min(...this.#readAts);',
      'return this.#readAts[0]!;',
      'of what is announced one document alone is missed for good',
    ],
    [
      'grace-forgotten',
      'if (this.#away) return longest;',
      'if (this.#away) return staleMs;',
      'after a minute of an outage nobody is served, whatever is set',
    ],
    [
      'change-not-counted',
      '        this.#options.verified.forget(tenant);\n        generations.changed(tenant);',
      '        this.#options.verified.forget(tenant);',
      'a change that is heard of while a request waits does not count for it',
    ],
    ['stale-is-fine', '    if (this.age > this.#patienceMs) {', '    if (this.age < -Infinity) {', 'who was disabled is served on a guess'],
  ],
  'broker/credential/verified-credentials.ts': [
    [
      'vault-token-past-end',
      'return this.#now() < identity.expiresAt && !this.#hasEnded(identity);',
      'return !this.#hasEnded(identity);',
      "a verification outlives the tenant's own Vault token, by which its grants and tokens are read",
    ],
    [
      'clock-back',
      'this.#monotonic = monotonicOf(options);',
      'this.#monotonic = options.now ?? Date.now;',
      'where the wall clock is set back, a verification is remembered for longer than it may be',
    ],
    [
      'remembered-too-long',
      'this.#monotonic() - known.askedAt < this.#rememberMs && this.#isCurrent(known.identity)',
      '(this.#monotonic() - known.askedAt) / 20 < this.#rememberMs && this.#isCurrent(known.identity)',
      'a verification is remembered for longer than it may be',
    ],
    [
      'outage-not-bridged',
      'const inTime = graceMs > 0 &&',
      'const inTime = graceMs < 0 &&',
      'who was served is refused as soon as Vault is away',
    ],
    [
      'forgotten-is-bridged',
      'for (const [fingerprint, { identity }] of this.#verified.entries()) ' +
        'if (identity.tenant === tenant) this.#verified.delete(fingerprint);',
      'for (const known of this.#verified.values()) ' +
        'if (known.identity.tenant === tenant) Object.assign(known, { askedAt: this.#monotonic() - this.#rememberMs });',
      'a verification that an announcement took away is good again while Vault is away',
    ],
    [
      'own-end-unheeded',
      'return endsAt !== Infinity &&',
      'return endsAt === 0 &&',
      'a credential is good after an end that it has had from the beginning',
    ],
    [
      'stale-after-login-under-way',
      'if (!this.#forgotten.since(identity.tenant, generation)) this.#verified.set(',
      'this.#verified.set(',
      'a login that began before the credential ended is remembered after',
    ],
  ],
  'broker/vault/approle-login.ts': [
    [
      'outage-is-refusal',
      "if (error.reason === 'invalid' && error.status === 400) return wrongCredential();",
      "if (error.reason !== 'denied') return wrongCredential();",
      'a Vault that is away makes good credentials wrong',
    ],
  ],
  'broker/vault/session.ts': [
    [
      'dead-token-kept',
      '      if (token === this.#token) this.#token = undefined;\n',
      '',
      'the broker goes on with a Vault token that is dead',
    ],
  ],
  'broker/breaker.ts': [
    ['breaker-never-closes', '    if (this.#isOpen) this.#renew();\n  }', '  }', 'after an outage nobody is asked any more'],
    [
      'breaker-remembers',
      '    if (this.#isOpen && this.#options.probed !== true) this.#renew();\n',
      '',
      'a burst at an idle broker meets a breaker that still counts an outage long over',
    ],
  ],
  'broker/token/revocations.ts': [
    [
      'told-does-not-obey',
      'if (unaskedOf(error) !== undefined) this.#owed.set(token.sha256, token);',
      '',
      'a token that was taken back while Vault was away is served on',
    ],
    [
      'owed-never-told',
      'if (this.#owed.size > 0 && !this.#settling) void this.#settle();',
      '',
      'after an outage nobody else hears which tokens were taken back in it',
    ],
    [
      'refusal-undone-by-tidying',
      'if (hasEnded(exp, now)) those.delete(sha256);',
      'if (hasEnded(exp - 120, now)) those.delete(sha256);',
      'a revocation is tidied away while its token lives',
    ],
  ],
  'broker/operator/announcement.ts': [
    [
      'lost-update',
      '{ ...after }, version, as)',
      '{ ...after }, undefined, as)',
      'of two operators who announce at once, one is overwritten',
    ],
  ],
  'broker/operator/ending.ts': [
    [
      'lost-ending',
      "announce what has ended', ({ documents, as }) => documents.write(path, after, version, as)",
      "announce what has ended', ({ documents, as }) => documents.write(path, after, undefined, as)",
      'of two credentials that are ended at once, one stays good',
    ],
  ],
};
