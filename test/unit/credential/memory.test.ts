import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { checkout } from '#tools/part/version.ts';

/** Whether a secret is still on the heap of a process that has parsed a credential's body and done this with it. */
function secretStays(doing: string): boolean {
  const script = `
    import { randomUUID } from 'node:crypto';
    import { getHeapSnapshot } from 'node:v8';
    import { text } from 'node:stream/consumers';
    import { Authorization } from '#broker/authorization/authorization.ts';
    import { AppRoleCredential } from '#broker/credential/approle.ts';
    import { RefusedAddresses } from '#broker/credential/refused-addresses.ts';
    import { VerifiedCredentials } from '#broker/credential/verified-credentials.ts';
    import { PosternError } from '#broker/error.ts';
    import { parseForm } from '#broker/http/body.ts';
    import { AppRoleLogin } from '#broker/vault/approle-login.ts';
    import { VaultFault } from '#broker/vault-fault.ts';
    const secret = () => ['a', 'secret', 'of', 'thirty', 'six', 'characters', '12'].join('-');
    const login = {
      right: async ({ lastingClientId: clientId }) => ({ tenant: 'acme', clientId, expiresAt: Infinity, endsAt: Infinity }),
      wrong: async () => Promise.reject(new PosternError('invalid_client', 'Unauthorized')),
    };
    const verify = async (answer, credential) => {
      const verified = new VerifiedCredentials({ login: { login: login[answer] } });
      await verified.verify(credential, '192.0.2.1').catch(() => {});
      return verified;
    };
    const refuseAddress = async (credential) => {
      const said = 'source address "192.0.2.1" unauthorized by CIDR restrictions on the secret ID';
      const client = { write: async () => Promise.reject(new VaultFault('invalid', said, { status: 400 })) };
      let refusals = 0;
      const refused = new RefusedAddresses(() => refusals++);
      const onRefusedAddress = (address) => refused.refused(address);
      await new AppRoleLogin({ client, mount: 'approle', forwardAddress: false, ends: {}, onRefusedAddress })
        .login(credential, '192.0.2.1')
        .catch(() => {});
      if (refusals !== 1) throw new Error('the address was not refused');
      return refused;
    };
    const scopes = ['orders-and-all-items:read', 'orders-and-all-items:write'];
    const api = { name: 'orders', audience: 'orders.example.com', source: 'transit', scopes, lifetime: 60, dialect: 'access_token' };
    const grants = { grants: [{ api: 'orders', scopes }], organization: 'org_of_the_tenant', claims: {}, introspects: [], publish: [] };
    const authorize = async (request) => {
      const authorization = new Authorization({
        grants: { readGrants: async () => grants },
        apis: { byAudience: () => api },
        issuers: { transit: 'https://tokens.example.com/' },
        isDisabled: () => false,
      });
      const identity = { tenant: 'acme', clientId: 'acme-role-id' };
      return { authorization, identity, grant: await authorization.authorize(identity, request) };
    };
    const read = () => {
      const form = {
        client_id: randomUUID(),
        client_secret: secret(),
        audience: api.audience,
        scope: scopes[0],
        organization: grants.organization,
      };
      const body = Object.entries(form).map(([name, value]) => name + '=' + value).join('&');
      const sent = parseForm(Buffer.from(body).toString('latin1'));
      const [audience, scope, organization] = ['audience', 'scope', 'organization'].map((name) => sent.get(name));
      const request = { audience, scope: undefined, organization: undefined };
      return {
        credential: AppRoleCredential.of(sent.get('client_id'), sent.get('client_secret')),
        whole: request,
        narrow: { ...request, scope },
        named: { ...request, organization },
      };
    };
    globalThis.kept = await (async ({ credential, whole, narrow, named }) => ${doing})(read());
    // The text that was matched last is kept by the engine, until the next one.
    /x/.test('x');
    await new Promise((resolve) => setTimeout(resolve, 10));
    globalThis.gc();
    process.stdout.write(String((await text(getHeapSnapshot())).includes('client_secret=' + secret())));`;
  const said = execFileSync(process.execPath, ['--expose-gc', '--input-type=module-typescript', '-e', script], {
    cwd: checkout,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return said === 'true';
}

test('what outlives a request does not keep its body, with its secret, in memory', { timeout: 60_000 }, () => {
  expect(secretStays("verify('right', credential)")).toBe(false);
  expect(secretStays("verify('wrong', credential)")).toBe(false);
  expect(secretStays('refuseAddress(credential)')).toBe(false);
  for (const request of ['whole', 'narrow', 'named']) expect(secretStays(`authorize(${request})`)).toBe(false);
  // What a client_id as it was parsed does; where this is no longer so, lastingClientId isn't needed any more.
  expect(secretStays('credential.clientId')).toBe(true);
});
