import { describe, expect, test } from 'vitest';
import { apiDocument, tenantDocument } from '#broker/authorization/documents.ts';

const API = { audience: 'https://orders.example.com', source: 'transit' };

describe('what `vault kv put` writes as text is read where it can mean one thing only', () => {
  test.each<[string, Record<string, unknown>, Record<string, unknown>]>([
    ['a number', { lifetime: '3600' }, { lifetime: 3600 }],
    ['a list in JSON', { scopes: '["read:orders","a,b"]' }, { scopes: ['read:orders', 'a,b'] }],
    ['words', { scopes: 'read:orders  write:orders' }, { scopes: ['read:orders', 'write:orders'] }],
    ['one word', { scopes: 'read:orders' }, { scopes: ['read:orders'] }],
    ['nothing', { scopes: '' }, { scopes: [] }],
    ['as it should be', { scopes: ['read:orders'], lifetime: 60 }, { scopes: ['read:orders'], lifetime: 60 }],
  ])('in an API: %s', (_what, written, read) => {
    expect(apiDocument.parse({ ...API, ...written })).toMatchObject(read);
  });

  test.each<Record<string, unknown>>([
    { scopes: 'read:orders,write:orders' },
    { scopes: '["read:orders"' },
    { scopes: '{"a":1}' },
    { lifetime: '1h' },
    { lifetime: '3600.5' },
    { lifetime: '1e3' },
    { lifetime: '0x20' },
    { lifetime: '' },
    { lifetime: '-60' },
    { dialect: '' },
  ])('in an API %j is a fault', (written) => {
    expect(apiDocument.safeParse({ ...API, ...written }).success).toBe(false);
  });

  test.each<[string, Record<string, unknown>, Record<string, unknown>]>([
    ['true', { disabled: 'true' }, { disabled: true }],
    ['false', { disabled: 'false' }, { disabled: false }],
    ['names with commas', { introspects: 'orders,billing' }, { introspects: ['orders', 'billing'] }],
    ['names in JSON', { introspects: '["orders"]' }, { introspects: ['orders'] }],
    [
      'grants in JSON',
      { grants: '[{"api":"orders","scopes":"read:a read:b"}]' },
      { grants: [{ api: 'orders', scopes: ['read:a', 'read:b'] }] },
    ],
    ['claims in JSON', { claims: '{"https://example.com/plan":"gold"}' }, { claims: { 'https://example.com/plan': 'gold' } }],
    ['nothing', { default_api: '' }, { default_api: null }],
    ['an organization that looks like a number', { organization: '42' }, { organization: '42' }],
    ['a claim that is text stays text', { claims: { 'https://example.com/n': '3600' } }, { claims: { 'https://example.com/n': '3600' } }],
  ])('in a tenant: %s', (_what, written, read) => {
    expect(tenantDocument.parse(written)).toMatchObject(read);
  });

  test.each<Record<string, unknown>>([
    { disabled: 'yes' },
    { disabled: 'TRUE' },
    { disabled: '' },
    { disabled: 'constructor' },
    { disabled: 1 },
    { grants: 'orders' },
    { grants: '{"api":"orders"}' },
    { claims: '[]' },
    { client_id: '' },
  ])('in a tenant %j is a fault: nobody is let in by a guess', (written) => {
    expect(tenantDocument.safeParse(written).success).toBe(false);
  });
});
