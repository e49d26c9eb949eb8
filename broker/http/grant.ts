import type { Door } from '#broker/audit/exchange-event.ts';
import type { Credential } from '#broker/credential/verifiers.ts';
import type { ExchangeRequest } from '#broker/token/exchange.ts';
import { TARGET_PARAMETERS } from './resource.ts';
import type { Parameters, Sent } from './parameter.ts';
import type { Call } from './route.ts';

/** What a grant makes of its parameters. */
export interface Asked {
  readonly credential: Credential;
  readonly request: ExchangeRequest;
}

/** One grant type of the token endpoint. */
export interface TokenGrant {
  readonly type: string;
  /** For people. */
  readonly title: string;
  readonly door: Door;
  readonly parameters: Parameters;
  /** @throws {PosternError} */
  read(call: Call, sent: Sent): Asked;
  /** Rewords a refusal of the exchange in this grant's terms. @throws what is answered */
  refuse?(error: unknown, sent: Sent, credential: Credential): never;
  /** What the reply has besides Auth0's members: JSON members that begin with a comma. */
  members(sent: Sent): string;
}

/** What a token holds, whatever the grant. */
export const TOKEN_PARAMETERS: Parameters = {
  ...TARGET_PARAMETERS,
  scope: { description: 'Scopes with spaces between; where it is left out, all that are granted.', examples: ['read:orders'] },
  organization: { description: 'Auth0 organization.' },
};
