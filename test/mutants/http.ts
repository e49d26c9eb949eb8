import type { Mutants } from './mutant.ts';

export const http: Mutants = {
  'broker/http/body.ts': [
    ['body-unbounded', 'if (size > MAX_BODY) {', 'if (size > Infinity) {', 'a body fills memory'],
    [
      'declared-unbounded',
      'if (declared !== undefined && Number(declared) > MAX_BODY) throw tooLarge();',
      '',
      'a body that says it is too large is read',
    ],
    [
      'repeated-form',
      "if (another === undefined) throw malformed('repeats a parameter');",
      'if (another === undefined) return;',
      "which of two scopes counts is anybody's guess",
    ],
    [
      'repeated-json',
      'if (topLevelNames(text) !== entries.length) throw',
      'if (entries.length < 0) throw',
      "which of two names counts is anybody's guess",
    ],
    ['nul-passes', "if (value.includes('\\0')) throw malformed('holds a NUL');", '', 'parts of a key run into each other'],
    ['not-utf8', "new TextDecoder('utf-8', { fatal: true })", "new TextDecoder('utf-8')", 'bytes are guessed at'],
    ['json-array', ' || Array.isArray(value)) throw', ') throw', 'an array is taken for parameters'],
    [
      'client-gone',
      "if (!request.complete) reject(new PosternError('invalid_request', 'The request ended early'));",
      '',
      'a request that ended early waits for ever',
    ],
  ],
  'broker/http/client-authentication.ts': [
    [
      'secret-in-both',
      "if (secret !== '') throw new PosternError('invalid_request', 'More than one client authentication method was used');\n  const basic",
      'const basic',
      'two credentials, and nobody knows which counts',
    ],
    [
      'id-differs',
      "if (id !== '' && id !== basic.id) throw",
      "if (id === '\\0') throw",
      'a client_id in the body is not the one that is verified',
    ],
    [
      'assertion-and-secret',
      "if (secret !== '' || header !== undefined)\n",
      'if (header !== undefined)\n',
      'two credentials, and nobody knows which counts',
    ],
    [
      'assertion-id-differs',
      "if (id !== '' && id !== assertion.clientId) throw wrongCredential();",
      '',
      'a client_id beside an assertion is not the one that is verified',
    ],
    ['assertion-type', 'if (type !== ASSERTION_TYPE) throw', "if (type === '\\0') throw", 'a SAML assertion is taken for a JWT'],
    [
      'basic-not-decoded',
      '{ id: decodeFormComponent(text.slice(0, colon)),',
      '{ id: text.slice(0, colon),',
      'RFC 6749 §2.3.1: an encoded client_id is unknown',
    ],
  ],
  'broker/http/presented-token.ts': [
    [
      'introspection-undecided',
      'deciding, ({ tenant }) => tenant)',
      "deciding, () => '')",
      'what was decided before an announcement is answered after it',
    ],
    [
      'introspection-unaudited',
      'options.audit.write(tokenEvent(attemptOf(request), { outcome: decision.outcome }));',
      '',
      'an answer of which the audit knows nothing',
    ],
  ],
  'broker/http/verify-credential.ts': [
    [
      'two-keys',
      "if (authorization !== '' && keyIn(authorization) !== apiKey) throw several();",
      '',
      "which of two keys counts is anybody's guess",
    ],
    [
      'key-with-password',
      'if (name.startsWith(KEY_PREFIX)) throw several();',
      '',
      'a key goes to Vault as a role_id, with a password that means nothing',
    ],
    ['joined-header', " || apiKey.includes(',')) throw several();", ') throw several();', 'two headers are taken for a mistyped key'],
  ],
  'broker/http/verify-demand.ts': [
    [
      'empty-scope',
      "if (scope !== undefined && scopes.length === 0) throw malformed('has an empty scope');",
      '',
      "an empty variable in a gateway's template opens the door to any key",
    ],
    [
      'client-path-read',
      'const end = target.indexOf(END);',
      'const end = target.lastIndexOf(END);',
      'the client of a gateway writes its own demand',
    ],
    ['more-parameters', 'if (!Object.hasOwn(DEMAND_PARAMETERS, name)) throw', "if (name === '') throw", 'a misspelt scope demands nothing'],
    [
      'demand-remembered-wrongly',
      'this.#read.get(written)',
      "this.#read.get(written.split('&')[0]!)",
      'one route is guarded by the scopes of another',
    ],
  ],
  'broker/http/verify-refusal.ts': [
    [
      'refusal-cached',
      "const headers = ['Cache-Control', 'no-store', ",
      "const headers = ['Cache-Control', 'public', ",
      'a proxy keeps a refusal',
    ],
    ['right-and-wrong-told-apart', '  invalid_grant: WRONG,\n', '', 'a kind of wrong key looks unlike the others'],
  ],
  'broker/http/token-endpoint.ts': [
    [
      'token-unaudited',
      'options.audit.write(granted(attempt, served, request.expiresIn));',
      '',
      'a token goes out of which the audit knows nothing',
    ],
    [
      'refusal-unaudited',
      "writeRefusal(options.audit, () => refused(attempt, answered), refusalOf(grant?.door ?? 'token', trace, answered));",
      '',
      'guesses are in no audit',
    ],
  ],
  'broker/http/token-exchange-grant.ts': [
    [
      'secret-beside-subject',
      'if (more) throw',
      'if (more === undefined) throw',
      'a secret beside a subject_token is taken for one that was checked',
    ],
    ['actor-ignored', "if (optional(sent, 'actor_token') !== undefined || optional", 'if (optional', 'an actor is dropped without a word'],
    ['issued-type', 'if (!ISSUED.has(type)) throw', "if (type === '') throw", 'a refresh token is promised'],
    ['subject-type', 'if (type !== VAULT_TOKEN_TYPE) return', "if (type === '\\0') return", 'any JWT is sent to Vault as a token'],
  ],
};
