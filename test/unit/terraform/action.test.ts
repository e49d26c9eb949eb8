import { readFileSync } from 'node:fs';
import { createContext, Script } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

/* The Credentials-Exchange Action that Terraform installs in Auth0, run from its own source as Auth0 runs it. */

const source = readFileSync(new URL('../../../terraform/modules/auth0/action.js', import.meta.url), 'utf8');

interface Outcome {
  claims: Record<string, unknown>;
  denied: [code: string, reason: string] | undefined;
}

/** Auth0's `api`: setters and `deny` return it, for chaining. */
async function exchange(event: { client: object; request: object }): Promise<Outcome> {
  const outcome: Outcome = { claims: {}, denied: undefined };
  const api: { access: object; accessToken: object } = {
    access: { deny: (code: string, reason: string) => ((outcome.denied = [code, reason]), api) },
    accessToken: { setCustomClaim: (name: string, value: unknown) => ((outcome.claims[name] = value), api) },
  };
  const module = { exports: {} as Record<string, (event: unknown, api: unknown) => Promise<void>> };
  new Script(source).runInContext(createContext({ module, exports: module.exports }), { timeout: 1_000 });
  await module.exports['onExecuteCredentialsExchange']?.(event, api);
  return outcome;
}

const shared = { client_id: 'shared', metadata: { postern: 'broker' } };
const asking = (postern_tenant: unknown) => ({ client: shared, request: { body: { grant_type: 'client_credentials', postern_tenant } } });

const refused = { claims: {}, denied: ['invalid_request', 'postern_tenant is missing or malformed'] };
const untouched = { claims: {}, denied: undefined };

describe('binds', () => {
  test.each(['acme', 'a', '7', 'acme-2', 'a'.repeat(63)])('the token to %s', async (tenant) => {
    expect(await exchange(asking(tenant))).toEqual({ claims: { 'https://postern.dev/tenant': tenant }, denied: undefined });
  });

  test('nothing but the tenant: no other parameter reaches a claim', async () => {
    const { claims } = await exchange({
      client: shared,
      request: { body: { postern_tenant: 'acme', org_id: 'org_x', 'https://postern.dev/tenant': 'globex' } },
    });
    expect(claims).toEqual({ 'https://postern.dev/tenant': 'acme' });
  });
});

describe('refuses the shared application a token', () => {
  test.each<[string, unknown]>([
    ['with an empty tenant', ''],
    ['with a null', null],
    ['with a number', 7],
    ['with a list of one, as a parameter given twice arrives', ['acme']],
    ['with two tenants', ['acme', 'globex']],
    ['with an object', { toString: () => 'acme' }],
    ['with capitals', 'Acme'],
    ['with a path', 'acme/../globex'],
    ['with a space', 'acme '],
    ['with a line break at the end', 'acme\n'],
    ['with a hyphen in front', '-acme'],
    ['with a hyphen at the end', 'acme-'],
    ['with a name too long', 'a'.repeat(64)],
    ['with a letter that only looks like one', 'аcme'],
  ])('%s', async (_, tenant) => {
    expect(await exchange(asking(tenant))).toEqual(refused);
  });

  test.each<[string, object]>([
    ['without the parameter', { body: { grant_type: 'client_credentials' } }],
    ['without a body', {}],
    ['with an inherited parameter', { body: Object.create({ postern_tenant: 'acme' }) as object }],
  ])('%s', async (_, request) => {
    expect(await exchange({ client: shared, request })).toEqual(refused);
  });

  test('whatever else is sent: bound to exactly what was asked, or refused', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string(), fc.stringMatching(/^[a-z0-9-]{0,70}$/), fc.anything()), async (tenant) => {
        const outcome = await exchange(asking(tenant));
        if (outcome.denied) expect(outcome).toEqual(refused);
        else expect(outcome.claims).toEqual({ 'https://postern.dev/tenant': tenant });
      }),
      { numRuns: 500 },
    );
  });
});

describe("leaves other applications' tokens alone", () => {
  test.each<[string, object]>([
    ['without metadata', { client_id: 'other' }],
    ['with other metadata', { client_id: 'other', metadata: { team: 'orders' } }],
    ['with another mark', { client_id: 'other', metadata: { postern: 'operators' } }],
  ])('%s, even when they name a tenant', async (_, client) => {
    for (const body of [{}, { postern_tenant: 'acme' }, { postern_tenant: '' }]) {
      expect(await exchange({ client, request: { body } })).toEqual(untouched);
    }
  });
});
