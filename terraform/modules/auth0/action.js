/**
 * Binds an access token of Postern's shared application to one tenant.
 *
 * All tenants share one Auth0 application, so their tokens would look alike. The broker, which alone holds that application's
 * secret, says in the body parameter `postern_tenant` whom the token is for, after Vault has verified that tenant's own
 * credential. This Action writes it into a claim, and refuses a token without it: an unbound token must never exist.
 *
 * @param {Event} event The client credentials exchange: its client, its API and its request.
 * @param {CredentialsExchangeAPI} api Changes or denies the exchange.
 */
exports.onExecuteCredentialsExchange = async (event, api) => {
  // Other applications of this Auth0 tenant are none of Postern's business. The mark is set by Terraform.
  if (!event.client.metadata || event.client.metadata.postern !== 'broker') {
    return;
  }

  const body = event.request.body || {};
  const tenant = Object.prototype.hasOwnProperty.call(body, 'postern_tenant') ? body.postern_tenant : undefined;

  // A parameter given twice arrives as an array: refused as well, rather than guessed at.
  if (typeof tenant !== 'string' || !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(tenant)) {
    api.access.deny('invalid_request', 'postern_tenant is missing or malformed');
    return;
  }

  // A key may belong to a person. Both or neither: a token that names half of it must not exist.
  const owner = Object.prototype.hasOwnProperty.call(body, 'postern_owner') ? body.postern_owner : undefined;
  const key = Object.prototype.hasOwnProperty.call(body, 'postern_key') ? body.postern_key : undefined;
  if (owner !== undefined || key !== undefined) {
    const named = typeof owner === 'string' && /^[!-~]{1,255}$/.test(owner) && typeof key === 'string' && /^key_[0-9a-f]{24}$/.test(key);
    if (!named) {
      api.access.deny('invalid_request', 'postern_owner or postern_key is missing or malformed');
      return;
    }
    api.accessToken.setCustomClaim('https://postern.dev/tenant_owner', owner);
    api.accessToken.setCustomClaim('https://postern.dev/tenant_key', key);
  }

  api.accessToken.setCustomClaim('https://postern.dev/tenant', tenant);
};
