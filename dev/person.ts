import { randomUUID } from 'node:crypto';
import { ORGANIZATIONS, SELF_AUDIENCE } from './scenario.ts';
import { noteSecret } from './secret.ts';
import type { Stack } from './stack.ts';

/** Somebody of acme's, logged in at Auth0: what their browser and the SaaS's page do, without either (examples/self-service has both). */
export class Person {
  readonly id: string;
  readonly #stack: Stack;
  readonly #token: string;

  /** @param token their own access token for the self-service API */
  constructor(stack: Stack, id: string, token: string) {
    this.#stack = stack;
    this.id = id;
    this.#token = token;
  }

  /** Authorization code, as the SaaS's web application asks for it. @throws Error where Auth0 refuses */
  static async login(stack: Stack, id: string, email: string): Promise<Person> {
    const { clientId, clientSecret, callback } = stack.saas;
    const query = new URLSearchParams({
      response_type: 'code',
      client_id: clientId,
      redirect_uri: callback,
      scope: 'openid profile email',
      audience: SELF_AUDIENCE,
      organization: ORGANIZATIONS.acme,
      login_hint: email,
      state: randomUUID(),
    });
    const login = await fetch(`${stack.auth0.issuer}authorize?${query}`, { redirect: 'manual' });
    const code = URL.parse(login.headers.get('location') ?? '')?.searchParams.get('code');
    if (!code) throw new Error(`Auth0 let nobody in: ${login.status} ${await login.text()}`);
    const answer = await fetch(`${stack.auth0.issuer}oauth/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'authorization_code',
        code,
        redirect_uri: callback,
        client_id: clientId,
        client_secret: clientSecret,
      }),
    });
    const { access_token: token = '' } = (await answer.json()) as { access_token?: string };
    return new Person(stack, id, noteSecret('access token', token));
  }

  /** One request to the self-service API. */
  async ask(method: string, path: string, body?: object): Promise<{ status: number; body: Record<string, unknown> }> {
    const response = await fetch(`${this.#stack.broker.issuer}self/v1/${path}`, {
      method,
      headers: {
        Authorization: `Bearer ${this.#token}`,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json', 'Idempotency-Key': randomUUID() }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const answer = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
    if (typeof answer['key'] === 'string') noteSecret('API key', answer['key']);
    return { status: response.status, body: answer };
  }
}

/** What acme's administrator does at Auth0, by its Management API. */
export async function blockAtAuth0(stack: Stack, id: string): Promise<void> {
  const { clientId, clientSecret } = stack.management;
  const answer = await fetch(`${stack.auth0.issuer}oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: clientId,
      client_secret: clientSecret,
      audience: `${stack.auth0.issuer}api/v2/`,
      scope: 'update:users',
    }),
  });
  const { access_token: token = '' } = (await answer.json()) as { access_token?: string };
  noteSecret('access token', token);
  const blocked = await fetch(`${stack.auth0.issuer}api/v2/users/${encodeURIComponent(id)}`, {
    method: 'PATCH',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ blocked: true }),
  });
  await blocked.body?.cancel();
  if (!blocked.ok) throw new Error(`Auth0 did not block ${id}: ${blocked.status}`);
}
