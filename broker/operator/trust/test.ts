import { judge } from '#broker/credential/trust.ts';
import type { Finding } from '#broker/credential/trust.ts';
import { TrustedToken, judgeHeader } from '#broker/credential/trusted-token.ts';
import type { IssuerKeys } from '#broker/credential/trusts.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { trustMount } from '#broker/vault/trust-login.ts';
import { trustOf } from '#broker/vault/trusts.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { findTrust } from './view.ts';

export interface TrustTest {
  tenant: string;
  name: string;
  trusted: boolean;
  findings: Finding[];
}

/**
 * Why a token is trusted or not: what brokers look at, claim by claim, the signature by the issuer's keys as this machine sees them, and
 * what Vault says at a login. Nothing is used up, and what Vault gives is thrown away.
 * @throws {PosternError} invalid_request for what is no JWT; not_found
 */
export async function testTrust(access: VaultAccess, keys: IssuerKeys, tenant: string, name: string, jwt: string): Promise<TrustTest> {
  const token = TrustedToken.of(jwt, { clientId: undefined, once: false });
  if (token === undefined)
    throw new PosternError('invalid_request', 'This is not a signed JWT, or one that parsers read differently', {
      detail: 'Three parts in base64url with dots between, at most 8,192 characters, no member twice.',
    });
  const { clientId, data } = await findTrust(access, tenant, name);
  const trust = trustOf(clientId, name, data);
  const findings = [...judgeHeader(token.header), ...judge(trust, token.claims, Date.now())];
  const signature = await keys.verify(trust, token).then(
    (good) => ({ good, why: good ? 'made by a key of the issuer' : 'no key of the issuer made it' }),
    (error: unknown) => {
      if (error instanceof PosternError) return { good: false, why: `can't be looked at from here: ${error.detail ?? error.message}` };
      throw error;
    },
  );
  findings.push({ of: 'signature', ...signature });
  const vault = await access.call('ask Vault about a token', async ({ client }) => {
    try {
      await client.write(`${trustMount(access.mounts.trust, tenant, trust.issuer)}/login`, { role: name, jwt }, {});
      return { good: true, why: 'takes it' };
    } catch (error) {
      if (error instanceof VaultFault && (error.reason === 'invalid' || error.reason === 'denied' || error.reason === 'not_found'))
        return { good: false, why: `refuses it: ${error.message}` };
      throw error;
    }
  });
  findings.push({ of: 'Vault', ...vault });
  return { tenant, name, trusted: findings.every(({ good }) => good), findings };
}
