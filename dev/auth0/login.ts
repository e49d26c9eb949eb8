import { Refusal, accessDenied, invalidRequest } from './refusal.ts';
import { permissionsOf } from './account.ts';
import type { Auth0Account, Auth0Api, Auth0Client, Auth0Organization, Auth0Person } from './account.ts';
import type { TokenRequest } from './request.ts';

/** Somebody has logged in at /authorize; the code waits to be redeemed. */
export interface Login {
  client: Auth0Client;
  person: Auth0Person;
  redirectUri: string;
  /** What the access token is for; undefined: the userinfo endpoint alone. */
  api: Auth0Api | undefined;
  organization: Auth0Organization | undefined;
  /** The person's at that API, there. */
  permissions: string[];
  /** As asked for at /authorize. */
  scope: string;
  /** Unix milliseconds. */
  expires: number;
}

/** Auth0 lets a code live so long; more than an honest client needs. */
const CODE_LIFETIME = 60_000;

/** Logins between /authorize and /oauth/token, by code. A code serves once. */
export class Logins {
  readonly #byCode = new Map<string, Login>();

  /**
   * Who logs in: the person whose e-mail address is `login_hint`, else the first who may. Nobody is asked.
   * @throws Refusal for an unknown client, a callback that isn't on its list, an unknown API, or an organization of other people
   */
  begin(account: Auth0Account, query: URLSearchParams): Omit<Login, 'expires'> {
    const client = account.clients.find(({ id }) => id === query.get('client_id'));
    if (!client?.grantTypes.includes('authorization_code')) throw invalidRequest(`Unknown client: ${query.get('client_id')}`);
    const redirectUri = query.get('redirect_uri') ?? '';
    if (!client.callbacks?.includes(redirectUri)) {
      throw new Refusal(403, 'unauthorized_client', `Callback URL mismatch. ${redirectUri} is not in the list of allowed callback URLs`);
    }
    if (client.secrets.length === 0 && query.get('code_challenge_method') !== 'S256')
      throw invalidRequest('Public clients must send a code_challenge (S256)');
    const hint = query.get('login_hint');
    const people = account.people.filter(({ id }) => client.people?.includes(id) ?? true);
    const person = hint === null ? people[0] : people.find(({ email }) => email === hint);
    if (!person) throw new Refusal(403, 'access_denied', 'Wrong email or password.');
    if (person.blocked === true) throw new Refusal(403, 'unauthorized', 'user is blocked');
    const audience = query.get('audience');
    const api = audience === null ? undefined : account.apis.find((one) => one.audience === audience);
    if (audience !== null && api === undefined) throw accessDenied(`Service not found: ${audience}`);
    const wanted = query.get('organization');
    const organization = wanted === null ? undefined : account.organizations.find(({ id, name }) => id === wanted || name === wanted);
    if (wanted !== null && !person.organizations?.includes(organization?.id ?? ''))
      throw accessDenied(`user is not a member of the organization ${wanted}`);
    const permissions = api === undefined ? [] : permissionsOf(account, person, api.audience, organization?.id);
    return { client, person, redirectUri, api, organization, permissions, scope: query.get('scope') ?? 'openid profile email' };
  }

  keep(code: string, login: Omit<Login, 'expires'>): void {
    const now = Date.now();
    for (const [old, { expires }] of this.#byCode) if (expires < now) this.#byCode.delete(old);
    this.#byCode.set(code, { ...login, expires: now + CODE_LIFETIME });
  }

  /** @throws Refusal 403 `invalid_grant` for a code that is unknown, used, expired or another client's */
  redeem(client: Auth0Client, request: TokenRequest): Login {
    const { code = '', redirect_uri: redirectUri = '' } = request.parameters;
    const login = this.#byCode.get(code);
    this.#byCode.delete(code);
    if (!login || login.expires < Date.now() || login.client.id !== client.id || login.redirectUri !== redirectUri) {
      throw new Refusal(403, 'invalid_grant', 'Invalid authorization code');
    }
    return login;
  }
}
