import { PosternError } from '#broker/error.ts';
import type { VaultToken } from '#broker/credential/identity.ts';
import type { VaultAnswer } from '#broker/vault/client.ts';
import { checkedToken } from '#cli/command/token-file.ts';

/** What Vault gives to whoever logs in. */
export interface LoginAnswer {
  readonly token: VaultToken;
  /** For people: their mail or name where the login tells it, else Vault's display name. */
  readonly name: string;
  readonly policies: readonly string[];
  /** Until it ends; 0: it doesn't. */
  readonly seconds: number;
  readonly renewable: boolean;
}

/**
 * @param fallback what the person is called where Vault says nothing
 * @throws {PosternError} misconfigured where it is no login's answer
 */
export function loginAnswer({ auth }: VaultAnswer, fallback: string): LoginAnswer {
  const { client_token: token, policies, lease_duration: seconds, renewable, metadata } = (auth ?? {}) as Record<string, unknown>;
  if (typeof token !== 'string' || token === '')
    throw new PosternError('misconfigured', 'Vault gave no token for this login', {
      detail: 'Does the login need a second factor? Then log in with `vault login`: postern uses the same ~/.vault-token.',
    });
  const { email, name } = (metadata ?? {}) as Record<string, unknown>;
  const texts = [email, name, fallback].filter((one): one is string => typeof one === 'string' && one !== '');
  return {
    token: checkedToken(token),
    name: texts[0] ?? 'logged in',
    policies: Array.isArray(policies) ? policies.map(String) : [],
    seconds: typeof seconds === 'number' ? seconds : 0,
    renewable: renewable === true,
  };
}
