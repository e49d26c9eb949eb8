import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { describe, expect, test } from 'vitest';
import { ApiKey } from '#broker/credential/api-key.ts';
import { NoCredential, shownCredential } from '#broker/http/verify-credential.ts';

const [ROLE, SECRET] = [randomUUID(), randomUUID()];
const KEY = ApiKey.format('test', ROLE, SECRET);
const OTHER = ApiKey.format('test', randomUUID(), randomUUID());
const MISTYPED = `${KEY.slice(0, -1)}${KEY.endsWith('a') ? 'b' : 'a'}`;
const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;

const shown = (headers: IncomingHttpHeaders): [string, string] => {
  const credential = shownCredential(headers);
  return [credential.clientId, credential.reveal()];
};

describe('a key is taken from', () => {
  test.each<[string, IncomingHttpHeaders]>([
    ['Bearer', { authorization: `Bearer ${KEY}` }],
    ['bearer, in any case and with more spaces', { authorization: `bEaReR   ${KEY}` }],
    ['X-API-Key', { 'x-api-key': KEY }],
    ['X-API-Key beside an empty Authorization', { 'x-api-key': KEY, authorization: '' }],
    ['Basic, as the user name', { authorization: basic(`${KEY}:`) }],
    ['Basic, as the password of nobody', { authorization: basic(`:${KEY}`) }],
    ['Basic, as the password of anybody', { authorization: basic(`key:${KEY}`) }],
    ['Basic, as both', { authorization: basic(`${KEY}:${KEY}`) }],
    ['Bearer and X-API-Key, where it is the same', { authorization: `Bearer ${KEY}`, 'x-api-key': KEY }],
    ['Basic and X-API-Key, where it is the same', { authorization: basic(`${KEY}:`), 'x-api-key': KEY }],
  ])('%s', (_how, headers) => {
    expect(shown(headers)).toEqual([ROLE, SECRET]);
  });

  test('Basic has role_id and secret_id too, as they are', () => {
    expect(shown({ authorization: basic('acme:a+b%20:c') })).toEqual(['acme', 'a+b%20:c']);
  });
});

test.each<[string, IncomingHttpHeaders]>([
  ['Bearer and X-API-Key differ', { authorization: `Bearer ${KEY}`, 'x-api-key': OTHER }],
  ['Basic and X-API-Key differ', { authorization: basic(`${KEY}:`), 'x-api-key': OTHER }],
  ['role_id and secret_id beside X-API-Key', { authorization: basic(`${ROLE}:${SECRET}`), 'x-api-key': KEY }],
  ['another scheme beside X-API-Key', { authorization: 'Negotiate abc', 'x-api-key': KEY }],
  ['two Authorizations', { authorization: `Bearer ${KEY}, Bearer ${OTHER}` }],
  ['one Authorization twice', { authorization: `Bearer ${KEY}, Bearer ${KEY}` }],
  ['Basic and Bearer', { authorization: `${basic(`${KEY}:`)}, Bearer ${KEY}` }],
  ['two X-API-Keys', { 'x-api-key': `${KEY}, ${OTHER}` }],
  ['one X-API-Key twice', { 'x-api-key': `${KEY}, ${KEY}` }],
  ['X-API-Keys as a list', { 'x-api-key': [KEY, OTHER] as unknown as string }],
  ['two keys in one Basic', { authorization: basic(`${KEY}:${OTHER}`) }],
  ['a key with a password, which would go to Vault as a role_id', { authorization: basic(`${KEY}:x`) }],
  ['Bearer and nothing', { authorization: 'Bearer' }],
  ['Bearer and two words', { authorization: `Bearer ${KEY} ${KEY}` }],
  ['Bearer and what is not a token', { authorization: 'Bearer "x"' }],
  ['Basic and nothing', { authorization: 'Basic' }],
  ['Basic that is not base64', { authorization: 'Basic !!!' }],
  ['Basic without a colon', { authorization: basic(KEY) }],
])('%s: invalid_request', (_how, headers) => {
  expect(() => shownCredential(headers)).toThrow(expect.objectContaining({ code: 'invalid_request' }));
});

test.each<[string, IncomingHttpHeaders]>([
  ['Bearer with a mistyped key', { authorization: `Bearer ${MISTYPED}` }],
  ['Bearer with a JWT', { authorization: 'Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln' }],
  ['X-API-Key with a mistyped key', { 'x-api-key': MISTYPED }],
  ['X-API-Key with anything', { 'x-api-key': '../../etc/passwd' }],
  ['the same mistyped key twice', { authorization: `Bearer ${MISTYPED}`, 'x-api-key': MISTYPED }],
  ['Basic with a mistyped key as user name', { authorization: basic(`${MISTYPED}:`) }],
  ['Basic with a mistyped key as password', { authorization: basic(`acme:${MISTYPED}`) }],
  ['Basic with neither', { authorization: basic(':') }],
  ['Basic with an impossible role_id', { authorization: basic('a b:c') }],
  ['Basic with an impossible secret_id', { authorization: basic('acme:ü') }],
])('%s: a wrong credential, at no cost to Vault', (_how, headers) => {
  expect(() => shownCredential(headers)).toThrow(expect.objectContaining({ code: 'invalid_client' }));
});

test.each<[string, IncomingHttpHeaders]>([
  ['no header', {}],
  ['empty headers', { authorization: '', 'x-api-key': '' }],
  ['another scheme', { authorization: 'Digest username="x", realm="y"' }],
  ['a key without a scheme', { authorization: KEY }],
  ['a scheme that begins like ours', { authorization: `Bearers ${KEY}` }],
  ['a tab for the space', { authorization: `Bearer\t${KEY}` }],
  [
    'a key in another header',
    {
      'x-auth-token': KEY,
      cookie: `key=${KEY}`,
      'proxy-authorization': `Bearer ${KEY}`,
      'x-forwarded-authorization': `Bearer ${KEY}`,
      x_api_key: KEY,
    },
  ],
])('%s: no credential', (_how, headers) => {
  expect(() => shownCredential(headers)).toThrow(NoCredential);
});
