import { describe, expect, test } from 'vitest';
import { apiDocument, tenantDocument } from '#broker/authorization/documents.ts';

const api = { audience: 'https://orders.example.com', source: 'transit' };

describe('an API document is refused', () => {
  test.each<[string, Record<string, unknown>]>([
    ['without an audience', { source: 'transit' }],
    ['with an empty audience', { ...api, audience: '' }],
    ["with the audience of Auth0's Management API", { ...api, audience: 'https://acme.eu.auth0.com/api/v2/' }],
    ['with the same on a custom domain, spelled otherwise', { ...api, audience: 'https://Login.example.com:443/%61pi/./v2' }],
    ['without a source', { audience: api.audience }],
    ['with a source that is not a name', { ...api, source: '../okta' }],
    ['with an unknown dialect', { ...api, dialect: 'opaque' }],
    ['with a lifetime of nothing', { ...api, lifetime: 0 }],
    ['with a lifetime that Auth0 does not have', { ...api, lifetime: 2_592_001 }],
    ['with half a second', { ...api, lifetime: 60.5 }],
    ['with a scope that holds a space', { ...api, scopes: ['read all'] }],
    ['with a scope that holds a quote', { ...api, scopes: ['read"'] }],
    ['with an empty scope', { ...api, scopes: [''] }],
    ['with a scope that is not a string', { ...api, scopes: [1] }],
  ])('%s', (_fault, document: Record<string, unknown>) => {
    const field = Object.keys({ ...api, ...document }).find((name) => document[name] !== (api as Record<string, unknown>)[name]);
    expect(apiDocument.safeParse(document).error?.issues.map(({ path }) => path[0])).toEqual([field]);
  });

  test("and has Auth0's defaults", () => {
    expect(apiDocument.parse(api)).toEqual({ ...api, scopes: [], lifetime: 86_400, dialect: 'access_token' });
  });
});

describe('a tenant document is refused', () => {
  test.each<[string, Record<string, unknown>]>([
    ['with a claim that is not namespaced', { claims: { plan: 'gold' } }],
    ['with a claim of the issuer', { claims: { sub: 'someone-else@clients' } }],
    ['with a claim that is an object', { claims: { 'https://e.com/a': { b: 1 } } }],
    ['with an API name that climbs', { grants: [{ api: '../x', scopes: [] }] }],
    ['with an API name in capitals', { grants: [{ api: 'Orders', scopes: [] }] }],
    ['with a default that is not a name', { default_api: 'a/b' }],
    ['with an empty organization', { organization: '' }],
    ['with a "disabled" that is neither true nor false', { disabled: 'yes' }],
    ['with a "disabled" that is a number', { disabled: 1 }],
    ['with more grants than may be', { grants: Array.from({ length: 201 }, () => ({ api: 'a', scopes: [] })) }],
  ])('%s', (_fault, document) => {
    expect(tenantDocument.safeParse(document).error?.issues.map(({ path }) => path[0])).toEqual(Object.keys(document));
  });

  test('and a claim named like a prototype is left out', () => {
    const { claims } = tenantDocument.parse(JSON.parse('{"claims":{"__proto__":"x"}}'));
    expect(JSON.stringify(claims)).toBe('{}');
  });

  test('and grants nothing when it is empty', () => {
    expect(tenantDocument.parse({})).toEqual({ grants: [], introspects: [], publish: [], claims: {}, disabled: false });
  });
});
