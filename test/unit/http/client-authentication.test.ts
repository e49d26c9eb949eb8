import type { IncomingMessage } from 'node:http';
import { describe, expect, test } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { clientCredential } from '#broker/http/client-authentication.ts';

const base64 = (text: string, encoding: BufferEncoding = 'utf8') => Buffer.from(text, encoding).toString('base64');
const basic = (text: string) => `Basic ${base64(text)}`;

/** `id secret`, or the code of the refusal. */
function outcomeOf(authorization: string | undefined, parameters: Record<string, string> = {}): string {
  try {
    const credential = clientCredential({ headers: { authorization } } as unknown as IncomingMessage, new Map(Object.entries(parameters)));
    return `${credential.clientId} ${credential.reveal()}`;
  } catch (error) {
    if (!(error instanceof PosternError)) throw error;
    expect(error.message).not.toMatch(/canary/);
    return error.code;
  }
}

describe('client_secret_post', () => {
  test('is read', () => {
    expect(outcomeOf(undefined, { client_id: 'a', client_secret: 'b' })).toBe('a b');
  });

  test.each<[string, Record<string, string>, string]>([
    ['no client_id', { client_secret: 'canary' }, 'invalid_request'],
    ['an empty client_id', { client_id: '', client_secret: 'canary' }, 'invalid_request'],
    ['no client_secret', { client_id: 'a' }, 'invalid_client'],
    ['a padded client_id', { client_id: ' a', client_secret: 'canary' }, 'invalid_client'],
    ['a client_id that climbs', { client_id: '../a', client_secret: 'canary' }, 'invalid_client'],
    ['an assertion', { client_id: 'a', client_secret: 'canary', client_assertion: 'x' }, 'invalid_request'],
    [
      'the type of an assertion',
      { client_id: 'a', client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer' },
      'invalid_request',
    ],
  ])('%s is refused', (_fault, parameters, code) => {
    expect(outcomeOf(undefined, parameters)).toBe(code);
  });
});

describe('private_key_jwt', () => {
  const TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
  const jwtOf = (payload: string) =>
    ['{"alg":"RS256"}', payload, 'canary'].map((part) => Buffer.from(part).toString('base64url')).join('.');
  const good = jwtOf('{"sub":"a"}');

  test('is read: the client is the one that the assertion is about', () => {
    expect(outcomeOf(undefined, { client_assertion_type: TYPE, client_assertion: good })).toBe(`a ${good}`);
    expect(outcomeOf(undefined, { client_assertion_type: TYPE, client_assertion: good, client_id: 'a' })).toBe(`a ${good}`);
  });

  test.each<[string, Record<string, string>, string]>([
    ['no type', { client_assertion: good }, 'invalid_request'],
    [
      'another type',
      { client_assertion: good, client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer' },
      'invalid_request',
    ],
    ['the type alone', { client_assertion_type: TYPE }, 'invalid_request'],
    ['a secret beside it', { client_assertion: good, client_assertion_type: TYPE, client_secret: 'canary' }, 'invalid_request'],
    ["another's client_id", { client_assertion: good, client_assertion_type: TYPE, client_id: 'b' }, 'invalid_client'],
    ['no JWT', { client_assertion: 'canary', client_assertion_type: TYPE }, 'invalid_client'],
    ['no signature', { client_assertion: `${good.slice(0, good.lastIndexOf('.'))}.`, client_assertion_type: TYPE }, 'invalid_client'],
    ['five parts, as an encrypted one has', { client_assertion: `${good}.x.y`, client_assertion_type: TYPE }, 'invalid_client'],
    ['padding', { client_assertion: `${good}=`, client_assertion_type: TYPE }, 'invalid_client'],
    ['no sub', { client_assertion: jwtOf('{"iss":"a"}'), client_assertion_type: TYPE }, 'invalid_client'],
    ['a sub that is not text', { client_assertion: jwtOf('{"sub":["a"]}'), client_assertion_type: TYPE }, 'invalid_client'],
    ['a sub that climbs', { client_assertion: jwtOf('{"sub":"../a"}'), client_assertion_type: TYPE }, 'invalid_client'],
    ['claims that are null', { client_assertion: jwtOf('null'), client_assertion_type: TYPE }, 'invalid_client'],
    ['claims that are not JSON', { client_assertion: jwtOf('{'), client_assertion_type: TYPE }, 'invalid_client'],
    ['8 KiB and more', { client_assertion: `${'a'.repeat(8192)}.${good}`, client_assertion_type: TYPE }, 'invalid_client'],
  ])('%s is refused', (_fault, parameters, code) => {
    expect(outcomeOf(undefined, parameters)).toBe(code);
  });
});

describe('client_secret_basic', () => {
  test.each<[string, string, string]>([
    ['plain', basic('a:b'), 'a b'],
    ['form-encoded, as RFC 6749 wants', basic('a%2Eb:p%2Bq%3A%25'), 'a.b p+q:%'],
    ['a colon in the secret', basic('a:b:c:'), 'a b:c:'],
    ['the scheme in other case', `bAsIc ${base64('a:b')}`, 'a b'],
    ['more spaces', `Basic   ${base64('a:b')}`, 'a b'],
    ['without padding', `Basic ${base64('a:bb').replaceAll('=', '')}`, 'a bb'],
  ])('%s', (_what, header, expected) => {
    expect(outcomeOf(header)).toBe(expected);
  });

  test('with the same client_id in the body', () => {
    expect(outcomeOf(basic('a:b'), { client_id: 'a' })).toBe('a b');
    expect(outcomeOf(basic('a:b'), { client_id: '', client_secret: '' })).toBe('a b');
  });

  test.each<[string, string, Record<string, string>, string]>([
    ['a secret in the body too', basic('a:canary'), { client_secret: 'canary' }, 'invalid_request'],
    ['both in the body too', basic('a:canary'), { client_id: 'a', client_secret: 'canary' }, 'invalid_request'],
    ['another client_id in the body', basic('a:canary'), { client_id: 'b' }, 'invalid_request'],
    ['an assertion in the body', basic('a:canary'), { client_assertion: 'x' }, 'invalid_request'],
    ['an empty header, and a secret in the body', '', { client_id: 'a', client_secret: 'canary' }, 'invalid_request'],
    ['an empty header', '', {}, 'invalid_client'],
    ['another scheme', 'Bearer canary', {}, 'invalid_client'],
    ['the scheme alone', 'Basic', {}, 'invalid_client'],
    ['no base64', 'Basic can ary', {}, 'invalid_client'],
    ['base64url', 'Basic _-8=', {}, 'invalid_client'],
    ['padding in the middle', `Basic YTo=Yg==`, {}, 'invalid_client'],
    ['no colon', basic('canary'), {}, 'invalid_client'],
    ['no id', basic(':canary'), {}, 'invalid_client'],
    ['no secret', basic('a:'), {}, 'invalid_client'],
    ['bytes that are not UTF-8', `Basic ${base64('\xff:\xfe', 'latin1')}`, {}, 'invalid_client'],
    ['a NUL', basic('a\0:canary'), {}, 'invalid_client'],
    ['a line feed', basic('a:canary\n'), {}, 'invalid_client'],
    ['a bad escape', basic('a:canary%zz'), {}, 'invalid_client'],
    ['a padded id', basic('+a:canary'), {}, 'invalid_client'],
    ['two of them', `${basic('a:canary')}, ${basic('b:canary')}`, {}, 'invalid_client'],
  ])('%s is refused', (_fault, header, parameters, code) => {
    expect(outcomeOf(header, parameters)).toBe(code);
  });

  test('8 KiB of it takes no time', () => {
    const begun = performance.now();
    for (const text of [
      `Basic ${' '.repeat(8000)}`,
      `Basic ${'A'.repeat(8000)}`,
      `Basic ${'='.repeat(8000)}`,
      `Basic ${'A='.repeat(4000)}`,
    ])
      outcomeOf(text);
    expect(performance.now() - begun).toBeLessThan(200);
  });
});
