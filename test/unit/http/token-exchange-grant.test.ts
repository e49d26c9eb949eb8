import { describe, expect, test } from 'vitest';
import { SubjectToken, VAULT_TOKEN_TYPE } from '#broker/credential/subject-token.ts';
import { tokenExchangeGrant } from '#broker/http/token-exchange-grant.ts';
import type { Call } from '#broker/http/route.ts';

const call = (authorization?: string) => ({ request: { headers: { authorization } }, address: '192.0.2.1' }) as unknown as Call;
const good = { subject_token: 'hvb.canary-subject-token', subject_token_type: VAULT_TOKEN_TYPE, audience: 'https://orders.example.com' };
const read = (more: Record<string, string> = {}, authorization?: string) =>
  tokenExchangeGrant.read(call(authorization), new Map(Object.entries({ ...good, ...more })));
const refused = (code: string) => expect.objectContaining({ code }) as Error;

test('the subject_token is the credential, and the rest is what is asked for', () => {
  const { credential, request } = read({ scope: 'read:all', organization: 'org_1', client_id: 'acme-role-id' });
  expect(credential).toBeInstanceOf(SubjectToken);
  expect(request).toEqual({ audience: good.audience, scope: 'read:all', organization: 'org_1', clientId: 'acme-role-id' });
});

describe('invalid_request', () => {
  test.each<[string, Record<string, string>, string?]>([
    ['a secret beside it', { client_secret: 'x' }],
    ['an assertion beside it', { client_assertion: 'x' }],
    ['the type of an assertion beside it', { client_assertion_type: 'x' }],
    ['Basic beside it', {}, 'Basic eDp5'],
    ['an actor', { actor_token: 'x' }],
    ['the type of an actor', { actor_token_type: 'x' }],
    ['no subject', { subject_token: '' }],
    ['a subject without a type', { subject_token_type: '' }],
    ['a JWT for a subject', { subject_token_type: 'urn:ietf:params:oauth:token-type:jwt' }],
    ['a subject with a line break', { subject_token: 'hvb.a\nb' }],
    ['a refresh token wanted', { requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' }],
  ])('%s', (_what, more, authorization) => {
    expect(() => read(more, authorization)).toThrow(refused('invalid_request'));
  });
});

test.each(['urn:ietf:params:oauth:token-type:access_token', 'urn:ietf:params:oauth:token-type:jwt'])(
  'what is issued is called as it was asked for: %s',
  (type) => {
    expect(() => read({ requested_token_type: type })).not.toThrow();
    expect(tokenExchangeGrant.members(new Map([['requested_token_type', type]]))).toBe(`,"issued_token_type":"${type}"`);
  },
);
