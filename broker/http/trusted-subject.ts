import { TrustedToken } from '#broker/credential/trusted-token.ts';
import type { TrustedTokenOptions } from '#broker/credential/trusted-token.ts';
import { notTrusted } from '#broker/credential/trusts.ts';
import { CLIENT_ID } from '#broker/credential/approle.ts';
import { PosternError } from '#broker/error.ts';
import { asInvalidTarget } from './resource.ts';

/** @throws {PosternError} the same for what can't be a token as for one that nobody trusts */
export function trustedSubject(jwt: string, options: TrustedTokenOptions): TrustedToken {
  if (options.clientId !== undefined && !CLIENT_ID.test(options.clientId)) throw notTrusted(options, "client_id can't be anybody's");
  const token = TrustedToken.of(jwt, options);
  if (token === undefined) throw notTrusted(options, 'not a signed JWT, or one that parsers read differently');
  return token;
}

/** A client that is no more is known to nobody: not as a wrong secret, since none was sent. @throws what is answered */
export function refuseSubject(error: unknown, token: TrustedToken): never {
  if (error instanceof PosternError && error.code === 'invalid_client') throw notTrusted(token, error.detail ?? error.message);
  return asInvalidTarget(error);
}
