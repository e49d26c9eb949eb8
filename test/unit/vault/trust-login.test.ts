import { expect, test } from 'vitest';
import { Throttle } from '#broker/credential/throttle.ts';
import type { Trust } from '#broker/credential/trust.ts';
import { TrustedToken } from '#broker/credential/trusted-token.ts';
import { Trusts } from '#broker/credential/trusts.ts';
import { Turnstile } from '#broker/credential/turnstile.ts';
import { PosternError } from '#broker/error.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { VaultTrustLogin } from '#broker/vault/trust-login.ts';
import { NO_ENDS } from './ends.ts';
import { Loopback } from './loopback.ts';

const ISSUER = 'https://issuer.example.com';
const AUDIENCE = 'https://tokens.example.com/';
const trust: Trust = {
  name: 'deploy',
  tenant: 'acme',
  clientId: 'acme-id',
  issuer: ISSUER,
  audience: AUDIENCE,
  jwksUrl: `${ISSUER}/jwks`,
  keys: undefined,
  caPem: undefined,
  subject: 'repo:acme/app',
  subjectPattern: undefined,
  claims: {},
  scopes: undefined,
};

/** Nobody here verifies its signature. */
function tokenOf(): TrustedToken {
  const now = Math.floor(Date.now() / 1000);
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const jwt = `${part({ alg: 'RS256' })}.${part({ iss: ISSUER, aud: AUDIENCE, sub: 'repo:acme/app', iat: now, exp: now + 60 })}.AAAA`;
  return TrustedToken.of(jwt, { clientId: undefined, once: false }) ?? expect.unreachable();
}

test('an issuer whose keys Vault can not get says nothing of Vault: no breaker opens', async () => {
  await using server = await Loopback.start(() => [500, { errors: ['error fetching keys'] }]);
  const changes: boolean[] = [];
  const client = new VaultClient({ address: server.origin, onBreak: (open) => changes.push(open) });
  const login = new VaultTrustLogin({ client, mount: 'postern-trust', forwardAddress: false, announced: NO_ENDS.announced });
  const token = tokenOf();
  for (let times = 0; times < 20; times++)
    await expect(login.login(trust, token, '192.0.2.7', (reason) => new PosternError('invalid_request', reason))).rejects.toMatchObject({
      code: 'temporarily_unavailable',
    });
  expect([client.away, changes, server.received.length]).toEqual([false, [], 20]);
  await client.close();
});

test('good tokens of one tenant pass a turnstile: they don’t take every way to Vault', async () => {
  const atVault = { now: 0, most: 0 };
  const trusts = new Trusts({
    trusts: { trustsOf: async () => [trust] },
    keys: { verify: async () => true },
    login: {
      login: async () => {
        atVault.most = Math.max(atVault.most, ++atVault.now);
        await new Promise((resolve) => setImmediate(resolve));
        atVault.now--;
        throw new PosternError('temporarily_unavailable', 'away');
      },
    },
    used: { claim: async () => true },
    throttle: new Throttle(),
    turnstile: new Turnstile({ atOnce: 3 }),
  });
  const token = tokenOf();
  await Promise.all(Array.from({ length: 30 }, () => trusts.verify(token, '192.0.2.7').catch(() => undefined)));
  expect(atVault.most).toBe(3);
});
