// A customer's page "My API keys" in a SaaS company's own application. People log in with Auth0 as everywhere else in it;
// keys are made, seen, rotated and revoked by Postern's self-service API, called with that person's own access token.
//
// What a SaaS copies is keys.mjs and pages.mjs. Nothing here has a right of its own: Postern and Vault look at the token.
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
const postern = new SelfService(setting('POSTERN_ISSUER'));

const app = express();
app.disable('x-powered-by');
app.use((_request, response, next) => {
  response.set({
    'Content-Security-Policy': "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    'Cache-Control': 'no-store',
    'Referrer-Policy': 'same-origin',
    'X-Content-Type-Options': 'nosniff',
  });
  next();
});
app.use(express.static(new URL('public', import.meta.url).pathname));
app.use(
  oidc.auth({
    issuerBaseURL: setting('AUTH0_ISSUER'),
    baseURL,
    clientID: setting('AUTH0_CLIENT_ID'),
    clientSecret: setting('AUTH0_CLIENT_SECRET'),
    // Encrypts the session's cookie, in which the access token lies.
    secret: setting('SESSION_SECRET'),
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
// Nobody else's page may send our forms (CSRF): every browser names the origin of a POST.
app.use((request, response, next) => {
  if (request.method === 'GET' || request.method === 'HEAD' || request.headers.origin === new URL(baseURL).origin) return next();
  response.status(403).send(errorPage('This form was not sent by this page.'));
});

const tokenOf = (request) => request.oidc.accessToken.access_token;
const nameOf = (request) => request.oidc.user.name ?? request.oidc.user.sub;

app.get('/', async (request, response) => {
  response.send(keysPage({ person: nameOf(request), keys: await postern.list(tokenOf(request)) }));
});
app.post('/keys', async (request, response) => {
  const { name, days, attempt } = request.body;
  const key = await postern.create(tokenOf(request), { name, ttl: Number(days) * 86_400 }, attempt);
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
  response.status(error.status ?? 500).send(errorPage('Something went wrong on our side.'));
});

const server = app.listen(Number(new URL(baseURL).port || 80), '127.0.0.1', () => console.log(`My API keys: ${baseURL}`));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => server.close(() => process.exit(0)));
