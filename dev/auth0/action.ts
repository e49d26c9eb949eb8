import { createContext, Script } from 'node:vm';
import { Refusal } from './refusal.ts';
import type { Exchange } from './grant.ts';
import type { TokenRequest } from './request.ts';

/**
 * Runs a Credentials-Exchange Action as Auth0 would: the very source that Terraform installs, with
 * the event and the api object of that trigger. node:vm keeps its globals apart; it is not a sandbox,
 * and the source is our own.
 * https://auth0.com/docs/customize/actions/reference/credentials-exchange/credentials-exchange-event-object
 * @returns the custom claims it set
 * @throws Refusal when it denies the exchange; a fault in the Action is Auth0's 500
 */
export async function runAction(source: string, request: TokenRequest, exchange: Exchange): Promise<Record<string, unknown>> {
  const claims: Record<string, unknown> = {};
  let denied: Refusal | undefined;
  const event = {
    accessToken: { scope: [...exchange.scopes], customClaims: {} },
    client: { client_id: exchange.client.id, name: exchange.client.name ?? exchange.client.id, metadata: exchange.client.metadata ?? {} },
    ...(exchange.organization ? { organization: { id: exchange.organization.id, name: exchange.organization.name, metadata: {} } } : {}),
    request: {
      body: { ...request.parameters, client_id: exchange.client.id },
      hostname: '127.0.0.1',
      ip: '127.0.0.1',
      method: 'POST',
      query: {},
    },
    resource_server: { identifier: exchange.api.audience },
    secrets: {},
    tenant: { id: 'stand-in' },
    transaction: { requested_scopes: (request.parameters['scope'] ?? '').split(' ').filter(Boolean) },
  };
  const api = {
    access: {
      deny(code: string, reason?: string) {
        denied = new Refusal(code === 'server_error' ? 500 : 400, code, reason ?? code);
        return api;
      },
    },
    accessToken: {
      setCustomClaim(name: string, value: unknown) {
        claims[name] = value;
        return api;
      },
    },
  };
  try {
    const module = { exports: {} as { onExecuteCredentialsExchange?: (event: unknown, api: unknown) => Promise<void> } };
    const context = createContext({ module, exports: module.exports, console });
    new Script(source, { filename: 'action.js' }).runInContext(context, { timeout: 1_000 });
    const handler = module.exports.onExecuteCredentialsExchange;
    if (!handler) throw new Error('the Action exports no onExecuteCredentialsExchange');
    await handler(event, api);
  } catch (error) {
    throw new Refusal(500, 'server_error', `The Action failed: ${(error as Error).message}`);
  }
  if (denied) throw denied;
  return claims;
}
