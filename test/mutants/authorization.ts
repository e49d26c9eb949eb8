import type { Mutants } from './mutant.ts';

export const authorization: Mutants = {
  'broker/authorization/authorization.ts': [
    [
      'disabled-not-asked',
      'if (this.#options.isDisabled(identity.tenant)) throw disabled();\n    const asked',
      'const asked',
      'a disabled tenant gets tokens that were authorized before',
    ],
    [
      'disabled-not-asked-again',
      'if (tenant.disabled || this.#options.isDisabled(identity.tenant)) throw disabled();',
      'if (tenant.disabled) throw disabled();',
      'a tenant disabled while its grants were read gets a token',
    ],
    ['disabled-document', 'if (tenant.disabled || this.#options', 'if (this.#options', 'disabled in the document alone counts for nothing'],
    [
      'any-grant-does',
      'tenant.grants.find((g) => g.api === api.name)',
      'tenant.grants.find((g) => g.api !== "")',
      'a grant for one API opens another',
    ],
    [
      'organization-not-compared',
      'request.organization !== undefined && request.organization !== tenant.organization',
      'request.organization === ""',
      "a client names another's organization",
    ],
    [
      'scopes-of-grant-alone',
      'grant.scopes.filter((s) => api.scopes.includes(s))',
      'grant.scopes',
      'a scope that the API no longer has is issued',
    ],
    ['limit-ignored', 'if (limit === undefined) return granted;', 'return granted;', 'a narrowed key gets all scopes of its tenant'],
    ['limit-left-empty', 'if (left.length > 0) return left;', 'return left;', 'a key with no scope here gets a token without scopes'],
    [
      'refused-scope-issued',
      'requested.filter((s) => !granted.includes(s))',
      'requested.filter((s) => s === "")',
      'whoever asks for a scope gets it',
    ],
    [
      'scope-token-not-checked',
      'requested.some((s) => !SCOPE_TOKEN.test(s))',
      'requested.some((s) => s.length > 1e6)',
      'control characters go into an answer',
    ],
    [
      'key-without-tenant',
      '[issuer, this.tenant, this.clientId, this.audience',
      '[issuer, this.clientId, this.audience',
      'the key of a token lacks whose it is',
    ],
    [
      'key-without-client',
      'this.tenant, this.clientId, this.audience',
      'this.tenant, this.audience',
      'a former tenant of the name shares the cache with its successor',
    ],
    [
      'key-without-scopes',
      'this.audience, scopes, this.organization',
      'this.audience, this.organization',
      'a narrower request gets the wider token',
    ],
    [
      'key-without-organization',
      'scopes, this.organization ?? null, version]',
      'scopes, version]',
      'a token of the former organization is served',
    ],
    ['key-without-claims', 'api.lifetime, claims, layout]', 'api.lifetime, layout]', 'changed claims reach nobody until the token ends'],
    ['key-without-layout', 'api.lifetime, claims, layout]', 'api.lifetime, claims]', 'tokens of another binding are taken for these'],
    ['memo-without-scope', "\\0${scope ?? '\\0'}\\0", '\\0', 'what was authorized for one scope is served for another'],
    ['memo-without-audience', "`${audience ?? '\\0'}\\0", '`\\0', 'what was authorized for one API is served for another'],
    [
      'failed-reading-remembered',
      '          this.#memos.delete(identity);\n',
      '',
      'one failure of Vault lasts as long as the verification',
    ],
    [
      'before-after-a-judgement',
      'if (unaskedOf(error) === undefined) identity.before = undefined;',
      '',
      'an outage brings back whom Vault has refused',
    ],
    ['before-whatever-failed', ' || before?.bridges(error) !== true', '', 'former grants answer for a Vault that refuses'],
  ],
  'broker/authorization/management-audience.ts': [
    ['management-any-case', '.toLowerCase()\n', '\n', "Auth0's Management API under upper case"],
    ['management-custom-domain', " || resolved(path) === 'api/v2'", '', 'the Management API behind a custom domain'],
    ['management-encoded', 'decoded(text)\n      .normalize', 'text\n      .normalize', 'the Management API percent-encoded'],
  ],
};
