import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';

/** The comparison: panva's oidc-provider, which mints a JWT (RS256, 2048 bits) of the same claims for each client_credentials request. */
const { privateKey } = await generateKeyPair('RS256', { modulusLength: 2048, extractable: true });
const jwk = { ...(await exportJWK(privateKey)), alg: 'RS256', use: 'sig' };
const audience = process.env['BENCH_AUDIENCE'] ?? '';
const scope = process.env['BENCH_SCOPE'] ?? '';

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  const provider = new Provider(`http://127.0.0.1:${port}`, {
    jwks: { keys: [jwk] },
    scopes: scope.split(' '),
    clients: [
      {
        client_id: process.env['BENCH_CLIENT_ID'] ?? '',
        client_secret: process.env['BENCH_CLIENT_SECRET'] ?? '',
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
        token_endpoint_auth_method: 'client_secret_post',
        scope,
      },
    ],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        getResourceServerInfo: () => ({ scope, audience, accessTokenTTL: 3600, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } }),
      },
    },
    extraTokenClaims: () => ({ 'https://postern.dev/tenant': 'acme', azp: process.env['BENCH_CLIENT_ID'], gty: 'client-credentials' }),
  });
  server.on('request', provider.callback());
  process.send?.({ port });
});
