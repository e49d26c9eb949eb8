import { createHmac, generateKeyPairSync } from 'node:crypto';
import { forge } from './assertion.forgeries.ts';
import type { Claims, Forgery } from './assertion.forgeries.ts';

/* Tokens of workloads that must not be taken, for a trust of GitHub Actions: made by hand, since a library would refuse to. */

export const GITHUB = 'https://token.actions.githubusercontent.com';
export const AUDIENCE = 'https://tokens.example.com/';
/** What `subject_pattern` repo:acme/app:ref:refs/heads/* takes. */
export const SUBJECT = 'repo:acme/app:ref:refs/heads/main';

export const issuerKey = generateKeyPairSync('rsa', { modulusLength: 2048 });
const strangers = { rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }), ec: generateKeyPairSync('ec', { namedCurve: 'P-256' }) };

/** As GitHub documents its claims ("OpenID Connect reference"). */
export function githubClaims(more: Claims = {}): Claims {
  const now = Math.floor(Date.now() / 1000);
  return {
    jti: `${now}-${Math.random()}`,
    iss: GITHUB,
    aud: AUDIENCE,
    sub: SUBJECT,
    iat: now,
    nbf: now - 5,
    exp: now + 300,
    repository: 'acme/app',
    repository_id: '74',
    repository_owner: 'acme',
    repository_owner_id: '65',
    ref: 'refs/heads/main',
    ref_type: 'branch',
    event_name: 'push',
    workflow: 'deploy',
    actor: 'olivia',
    run_id: '1',
    ...more,
  };
}

const HEADER = { typ: 'JWT', alg: 'RS256', kid: 'github-1', x5t: 'github-1' };

/** Signed by the issuer's own key. */
export const githubToken = (more: Claims = {}, header: Claims = {}): string =>
  forge({ ...HEADER, ...header }, githubClaims(more), issuerKey.privateKey, 'RS256');

const CONFUSED: Readonly<Record<string, readonly unknown[]>> = {
  iss: [
    `${GITHUB}/`,
    'https://TOKEN.actions.githubusercontent.com',
    'HTTPS://token.actions.githubusercontent.com',
    `${GITHUB}:443`,
    'https://acme@token.actions.githubusercontent.com',
    `${GITHUB}.`,
    `${GITHUB}/acme`,
    `${GITHUB}?x`,
    `${GITHUB}#x`,
    'http://token.actions.githubusercontent.com',
    'https://token.actions.githubusercontent.com.evil.example',
    ` ${GITHUB}`,
    `${GITHUB}\n`,
    `${GITHUB}%2f`,
    'https://tοken.actions.githubusercontent.com',
    [GITHUB],
    { iss: GITHUB },
    null,
    true,
    0,
    '',
    undefined,
    '../../trusts/x',
  ],
  aud: [
    [AUDIENCE, 'https://other.example.com'],
    ['https://other.example.com', AUDIENCE],
    [],
    [[AUDIENCE]],
    [null],
    { [AUDIENCE]: true },
    AUDIENCE.slice(0, -1),
    `${AUDIENCE}x`,
    AUDIENCE.toUpperCase(),
    `${AUDIENCE} `,
    '*',
    '',
    null,
    undefined,
    'https://github.com/acme',
  ],
  sub: [
    'repo:acme/app-evil:ref:refs/heads/main',
    'repo:acme/apps:ref:refs/heads/main',
    'repo:acme/ap:ref:refs/heads/main',
    'repo:acme2/app:ref:refs/heads/main',
    'repo:evil/acme/app:ref:refs/heads/main',
    'repo:ACME/app:ref:refs/heads/main',
    'repo:acme/app:ref:refs/heads/',
    'repo:acme/app:ref:refs/heads',
    'repo:acme/app:ref:refs/heads/main/',
    'repo:acme/app:ref:refs/heads/main/more',
    'repo:acme/app:ref:refs/heads/main:environment:x',
    'repo:acme/app:ref:refs/heads//main',
    'repo:acme/app:ref:refs/heads/..',
    'repo:acme/app:ref:refs/heads/.',
    'repo:acme/app:ref:refs/heads/*',
    'repo:acme/app:ref:refs/heads/m ain',
    'repo:acme/app:ref:refs/heads/main\n',
    'repo:acme/app:ref:refs/heads/main\u0000',
    'repo:acme/app:ref:refs/heads/mаin',
    'repo:acme/app:ref:refs/heads/ma\u0301in',
    'repo:acme/app:ref:refs/heads/\u202emain',
    'repo:acme/app:ref:refs/tags/main',
    'repo:acme/app:pull_request',
    'repo:acme/app:environment:prod',
    'repo::ref:refs/heads/main',
    'repo:acme/:ref:refs/heads/main',
    'repo:acme//app:ref:refs/heads/main',
    'repo/acme:app:ref:refs/heads/main',
    ' repo:acme/app:ref:refs/heads/main',
    'repo%3Aacme/app:ref:refs/heads/main',
    'repo:acme/app:ref:refs/heads/main'.repeat(40),
    '*',
    '',
    ['repo:acme/app:ref:refs/heads/main'],
    { x: SUBJECT },
    null,
    1,
    undefined,
  ],
  repository_owner_id: ['66', '6', '650', 65, ['65'], '65 ', '', null, undefined, true, { 0: '65' }],
};

const TIMES: Readonly<Record<string, (now: number) => readonly unknown[]>> = {
  exp: (now) => [now - 31, now - 3600, 0, -1, now + 90_000, 1e20, String(now + 60), null, undefined, [now + 60], true],
  nbf: (now) => [now + 60, now + 86_400, String(now), null, 1e20],
  iat: (now) => [now + 60, now + 86_400, 1e20, String(now), null],
};

const HEADERS: readonly Claims[] = [
  { alg: 'none' },
  { alg: 'None' },
  { alg: 'HS256' },
  { alg: 'RS1' },
  { alg: 'RSA-OAEP' },
  { alg: ['RS256'] },
  { alg: undefined },
  { alg: 'EdDSA' },
  { jku: 'https://evil.example/jwks' },
  { x5u: 'https://evil.example/x5u' },
  { x5c: ['MIIB'] },
  { jwk: strangers.rsa.publicKey.export({ format: 'jwk' }) },
  { crit: ['exp'] },
  { crit: [] },
  { b64: false, crit: ['b64'] },
  { cty: 'JWT' },
  { zip: 'DEF' },
  { enc: 'A256GCM' },
  { typ: 'at+jwt' },
  { typ: 'logout+jwt' },
  { typ: 'dpop+jwt' },
  { typ: 5 },
  { typ: '' },
  { kid: 5 },
  { kid: ['github-1'] },
  { kid: { $ne: '' } },
  { kid: 'x'.repeat(300) },
];

/** One of each fault; called again, each is a new one. */
export function forgedTokens(): Forgery[] {
  const now = Math.floor(Date.now() / 1000);
  const good = githubToken();
  const [head = '', body = '', signature = ''] = good.split('.');
  const all: Forgery[] = [];
  const add = (fault: string, jwt: string): void => void all.push({ fault, jwt });
  for (const [claim, values] of Object.entries(CONFUSED))
    for (const value of values) add(`${claim} ${JSON.stringify(value)?.slice(0, 60)}`, githubToken({ [claim]: value }));
  for (const [claim, values] of Object.entries(TIMES))
    for (const value of values(now)) add(`${claim} ${JSON.stringify(value)}`, githubToken({ [claim]: value }));
  for (const header of HEADERS) add(`header ${JSON.stringify(header).slice(0, 60)}`, githubToken({}, header));
  for (const kid of ['github-1', '', '../../etc/passwd', "' OR 1=1", 'github-2', undefined])
    for (const [name, key, alg] of [
      ['rsa', strangers.rsa, 'RS256'],
      ['ec', strangers.ec, 'ES256'],
      ['pss', strangers.rsa, 'PS256'],
    ] as const)
      add(`signed by a stranger's ${name}, kid ${kid}`, forge({ ...HEADER, alg, kid }, githubClaims(), key.privateKey));
  for (const secret of [
    issuerKey.publicKey.export({ type: 'spki', format: 'pem' }),
    issuerKey.publicKey.export({ type: 'pkcs1', format: 'pem' }),
    issuerKey.publicKey.export({ type: 'spki', format: 'der' }),
    '',
  ])
    for (const alg of ['HS256', 'HS384', 'HS512', 'RS256']) {
      const input = `${encoded({ ...HEADER, alg })}.${encoded(githubClaims())}`;
      add(
        `${alg} by the public key`,
        `${input}.${createHmac(`sha${alg.slice(2)}`, secret)
          .update(input)
          .digest('base64url')}`,
      );
    }
  const raw = (header: string, claims: string): string => forge(header, claims, issuerKey.privateKey, 'RS256');
  const claims = JSON.stringify(githubClaims());
  const header = JSON.stringify(HEADER);
  for (const [name, value] of Object.entries({ iss: GITHUB, sub: SUBJECT, aud: AUDIENCE, exp: now + 300, repository_owner_id: '65' })) {
    add(`${name} twice, the good one last`, raw(header, claims.replace('{', `{${JSON.stringify(name)}:"evil",`)));
    add(`${name} twice, the good one first`, raw(header, `${claims.slice(0, -1)},${JSON.stringify(name)}:${JSON.stringify(value)}}`));
    add(`${name} in capitals`, raw(header, claims.replace(`"${name}"`, `"${name.toUpperCase()}"`)));
    add(
      `${name} escaped and again`,
      raw(header, claims.replace('{', `{"\\u00${name.charCodeAt(0).toString(16)}${name.slice(1)}":"evil",`)),
    );
  }
  add('alg twice', raw(header.replace('{', '{"alg":"none",'), claims));
  add('kid twice', raw(header.replace('{', '{"kid":"x",'), claims));
  for (const text of ['[]', 'null', '"x"', '{', '', '{"a":1}{"b":2}', '\ufeff{}', `${claims} `.repeat(2)])
    add(`claims ${text.slice(0, 12)}`, raw(header, text));
  for (const text of ['[]', 'null', '{', '{}']) add(`header ${text}`, raw(text, claims));
  add('no signature', `${head}.${body}.`);
  add('two parts', `${head}.${body}`);
  add('four parts', `${good}.${signature}`);
  add('five parts', `${good}.${body}.${signature}`);
  add('signature of another', `${head}.${body}.${githubToken({ jti: 'x' }).split('.')[2]}`);
  add('body of another', `${head}.${encoded(githubClaims({ sub: 'repo:acme/app:ref:refs/heads/evil' }))}.${signature}`);
  add('signature cut', good.slice(0, -4));
  add('signature longer', `${good}AAAA`);
  add('padded', `${good}==`);
  add('nested JWT', forge(HEADER, { ...githubClaims(), sub: good }, issuerKey.privateKey));
  add('a JWT as claims', forge({ ...HEADER, cty: 'JWT' }, good, issuerKey.privateKey, 'RS256'));
  add('JSON serialization', JSON.stringify({ protected: head, payload: body, signature }));
  add('spaces', ` ${good}`);
  add('a line break', `${good}\n`);
  add('standard base64', `${head}.${body.replace(/.$/, '+')}.${signature}`);
  add('huge', forge(HEADER, githubClaims({ filler: 'x'.repeat(8000) }), issuerKey.privateKey));
  add('deep', forge(HEADER, `${'{"a":'.repeat(900)}1${'}'.repeat(900)}`, issuerKey.privateKey, 'RS256'));
  return all;
}

function encoded(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
