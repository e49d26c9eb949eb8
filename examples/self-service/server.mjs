// A customer's page "My API keys" in a SaaS company's own application. People log in with Auth0 as everywhere else in it;
// keys are made, seen, rotated and revoked by Postern's self-service API, called with that person's own access token.
//
// What a SaaS copies is keys.mjs and pages.mjs. Nothing here has a right of its own: Postern and Vault look at the token.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import express from 'express';
import oidc from 'express-openid-connect';
import { SelfService, Problem } from './keys.mjs';
import { errorPage, keyPage, keysPage } from './pages.mjs';

const setting = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; README.md says what it is`);
  return value;
};
const baseURL = setting('BASE_URL');
const sessionSecret = setting('SESSION_SECRET');
const postern = new SelfService(setting('POSTERN_ISSUER'));

const app = express();
app.disable('x-powered-by');
app.use((_request, response, next) => {
  response.set({
    'Content-Security-Policy': "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    // Beside the policy, for what is older; and no page with a key stays in a cache, or in the browser's own of pages gone back to.
    'X-Frame-Options': 'DENY',
    'Cache-Control': 'no-store',
    'Referrer-Policy': 'same-origin',
    'X-Content-Type-Options': 'nosniff',
  });
  next();
});
app.use(express.static(fileURLToPath(new URL('public', import.meta.url))));
app.use(
  oidc.auth({
    issuerBaseURL: setting('AUTH0_ISSUER'),
    baseURL,
    clientID: setting('AUTH0_CLIENT_ID'),
    clientSecret: setting('AUTH0_CLIENT_SECRET'),
    // Encrypts the session's cookie, in which the access token lies.
    secret: sessionSecret,
    authRequired: true,
    auth0Logout: true,
    authorizationParams: {
      response_type: 'code',
      scope: 'openid profile email',
      // The Auth0 API that stands for Postern's self-service API, and the customer whose page this is.
      audience: setting('POSTERN_SELF_AUDIENCE'),
      organization: setting('AUTH0_ORGANIZATION'),
    },
  }),
);
app.use(express.urlencoded({ extended: false, limit: '10kb' }));

const tokenOf = (request) => request.oidc.accessToken.access_token;
const nameOf = (request) => request.oidc.user.name ?? request.oidc.user.sub;
/** Of this session and no other. */
const csrfOf = (request) => createHmac('sha256', sessionSecret).update(`csrf ${request.oidc.idToken}`).digest('base64url');

// Nobody else's page may send our forms (CSRF): every browser names the origin of a POST, and a form holds the session's token.
app.use((request, response, next) => {
  if (request.method === 'GET' || request.method === 'HEAD') return next();
  const [given, expected] = [Buffer.from(String(request.body?.csrf ?? '')), Buffer.from(csrfOf(request))];
  const ours = request.headers.origin === new URL(baseURL).origin;
  if (ours && given.length === expected.length && timingSafeEqual(given, expected)) return next();
  response.status(403).send(errorPage('This form was not sent by this page.'));
});

app.get('/', async (request, response) => {
  const token = tokenOf(request);
  const [me, keys] = await Promise.all([postern.me(token), postern.list(token)]);
  const organization = me.administrator ? await postern.list(token, 'organization') : undefined;
  response.send(keysPage({ person: nameOf(request), csrf: csrfOf(request), me, keys, organization }));
});
app.post('/keys', async (request, response) => {
  const { name, scope, ttl, attempt } = request.body;
  const key = await postern.create(tokenOf(request), { name, scopes: [scope ?? []].flat(), ttl: Number(ttl) }, attempt);
  response.status(201).send(keyPage({ key }));
});
app.post('/keys/:id/rotate', async (request, response) => {
  const key = await postern.rotate(tokenOf(request), request.params.id, { overlap: 86_400 }, request.body.attempt);
  response.status(201).send(keyPage({ key }));
});
app.post('/keys/:id/revoke', async (request, response) => {
  await postern.revoke(tokenOf(request), request.params.id);
  response.redirect(303, '/');
});
// Express takes a function of four parameters for the one that answers errors.
app.use((error, _request, response, _next) => {
  if (error instanceof Problem) return response.status(error.status).send(errorPage(error.message));
  console.error(error.message);
  const status = error.status ?? error.statusCode ?? 500;
  response.status(status).send(errorPage(status < 500 ? 'Auth0 or this page refused. Log in again.' : 'Something went wrong on our side.'));
});

const server = app.listen(Number(new URL(baseURL).port || 80), '127.0.0.1', () => console.log(`My API keys: ${baseURL}`));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => server.close(() => process.exit(0)).closeAllConnections());
