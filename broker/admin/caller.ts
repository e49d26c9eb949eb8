import { createHmac, randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { LRUCache } from 'lru-cache';
import { monotonicOf } from '#broker/clock.ts';
import type { Clocks } from '#broker/clock.ts';
import { VaultToken } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import type { VerifiedBearer } from './bearer.ts';
import { NO_CREDENTIAL, Problem } from './problem.ts';

/** Permissions of the Auth0 API that stands for this one; the names that Terraform binds at Vault by default. */
export const PERMISSIONS = {
  'read:tenants': 'See tenants, their grants and trusts, and the APIs',
  'read:keys': 'See API keys, never their secrets',
  'manage:tenants': 'Make, disable and enable tenants',
  'manage:grants': 'Set what a tenant may have',
  'manage:keys': 'Issue, rotate and revoke API keys',
  'manage:trusts': 'Say which workloads are a tenant, by tokens of other issuers',
} as const;
export type Permission = keyof typeof PERMISSIONS;

/** Who calls, and what they may do at Vault. */
export interface Caller {
  /** The same for each token of this caller's: their rate and their Idempotency-Keys are kept under it. */
  readonly id: string;
  /** For the audit: the JWT's subject, or the Vault token's display name. */
  readonly name: string;
  readonly by: 'jwt' | 'vault_token';
  /** Of a JWT. Undefined: Vault alone says what this caller may do. */
  readonly permissions?: readonly string[] | undefined;
  /** Vault, as the caller. */
  readonly access: VaultAccess;
}

/** @throws {Problem} insufficient-scope where the caller's JWT lacks it */
export function requirePermission({ permissions }: Pick<Caller, 'permissions'>, permission: Permission): void {
  if (permissions === undefined || permissions.includes(permission)) return;
  throw new Problem('insufficient-scope', `The access token lacks the permission ${permission}`, { permission });
}

/** The port to Vault's JWT auth method. @throws {PosternError} access_denied, temporarily_unavailable */
export interface OperatorLogin {
  login(jwt: string, role: 'read' | 'write'): Promise<{ readonly token: VaultToken; readonly expiresAt: number }>;
}

export interface CallersOptions extends Clocks {
  /** Undefined: no JWT is taken, only Vault tokens. */
  bearer?: { verify(jwt: string): Promise<VerifiedBearer> } | undefined;
  login: OperatorLogin;
  accessOf: (token: VaultToken) => VaultAccess;
  /** Longest memory of a token that Vault gave for a JWT, ms. Default 60,000; never beyond either's own end. */
  rememberMs?: number;
}

/** What an operation needs. */
export interface Need {
  readonly permission: Permission;
  readonly changes: boolean;
}

/**
 * WHO calls the admin API: an Auth0 JWT exchanged for the caller's own Vault token, or that token itself. The broker's own is never used.
 */
export class Callers {
  readonly #options: CallersOptions;
  readonly #now: () => number;
  readonly #monotonic: () => number;
  /** By HMAC under a key of this process, so that no JWT lies in memory as a map key. */
  readonly #tokens = new LRUCache<string, { token: VaultToken; until: number; askedAt: number }>({ max: 1000 });
  readonly #key = randomBytes(32);

  constructor(options: CallersOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#monotonic = monotonicOf(options);
  }

  /** @throws {Problem} invalid-token, insufficient-scope; {PosternError} access_denied, temporarily_unavailable */
  async identify(headers: IncomingHttpHeaders, need: Need): Promise<Caller> {
    const { authorization } = headers;
    const vaultToken = headers['x-vault-token'];
    if (authorization !== undefined && vaultToken !== undefined)
      throw new Problem('invalid-token', 'Send one credential: Authorization or X-Vault-Token');
    if (typeof vaultToken === 'string') return this.#byVaultToken(vaultToken);
    if (authorization === undefined) throw new Problem('invalid-token', NO_CREDENTIAL);
    const jwt = /^bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)$/i.exec(authorization)?.[1];
    if (jwt === undefined) throw new Problem('invalid-token', 'Authorization must be Bearer with a JWT');
    return this.#byJwt(jwt, need);
  }

  async #byVaultToken(text: string): Promise<Caller> {
    if (!/^[\x21-\x2b\x2d-\x7e]{1,4096}$/.test(text)) throw new Problem('invalid-token', 'X-Vault-Token holds no Vault token');
    const access = this.#options.accessOf(new VaultToken(text));
    const answer = await access
      .call('tell whose token this is', ({ client, as }) => client.read('auth/token/lookup-self', as))
      .catch((error: unknown) => {
        if (!(error instanceof PosternError && error.code === 'access_denied')) throw error;
        throw new Problem('invalid-token', "Vault does not know this token, it has ended, or it lacks Vault's policy `default`");
      });
    const { display_name: name, entity_id: entity, accessor } = answer?.data ?? {};
    const texts = [entity, accessor, name].map((one) => (typeof one === 'string' ? one : ''));
    return { id: `vault ${texts.find((one) => one !== '') ?? 'unknown'}`, name: texts[2] || 'unknown', by: 'vault_token', access };
  }

  async #byJwt(jwt: string, need: Need): Promise<Caller> {
    const { bearer, accessOf } = this.#options;
    if (bearer === undefined) throw new Problem('invalid-token', 'This broker takes no JWTs here: send X-Vault-Token');
    const verified = await bearer.verify(jwt);
    requirePermission(verified, need.permission);
    const token = await this.#tokenOf(verified, need.changes ? 'write' : 'read');
    return { id: `jwt ${verified.subject}`, name: verified.subject, by: 'jwt', permissions: verified.permissions, access: accessOf(token) };
  }

  async #tokenOf({ jwt, expiresAt }: VerifiedBearer, role: 'read' | 'write'): Promise<VaultToken> {
    const name = createHmac('sha256', this.#key).update(`${role} ${jwt}`).digest('base64');
    const known = this.#tokens.get(name);
    const remembered = this.#options.rememberMs ?? 60_000;
    if (known !== undefined && known.until > this.#now() && this.#monotonic() - known.askedAt < remembered) return known.token;
    const askedAt = this.#monotonic();
    const given = await this.#options.login.login(jwt, role);
    // A request that starts just in time must not end with a dead token.
    const until = Math.min(given.expiresAt - 10_000, expiresAt);
    this.#tokens.set(name, { token: given.token, until, askedAt });
    return given.token;
  }
}
