import { createHmac, randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { monotonicOf } from '#broker/clock.ts';
import type { Clocks } from '#broker/clock.ts';
import type { VerifiedBearer } from '#broker/admin/bearer.ts';
import { NO_ACCESS_TOKEN, Problem } from '#broker/admin/problem.ts';
import { tenantDocument } from '#broker/authorization/documents.ts';
import { BoundedMap } from '#broker/bounded-map.ts';
import { NAME } from '#broker/credential/identity.ts';
import type { VaultToken } from '#broker/credential/identity.ts';
import { ORGANIZATION, OWNER } from '#broker/credential/owner.ts';
import type { Owner } from '#broker/credential/owner.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { limitsOf } from '#broker/operator/key/owned.ts';
import type { Person } from '#broker/operator/key/owned.ts';

/** Who has it sees and revokes the keys of everybody in their organization. */
export const ADMINISTRATOR = 'manage:organization-keys';
/** Under this name Terraform notes in an organization's Vault entity which tenant it is. */
const TENANT_METADATA = 'postern_self_tenant';

export interface PeopleOptions extends Clocks {
  bearer: { verify(jwt: string): Promise<VerifiedBearer> };
  /** Vault's JWT auth method. @throws {PosternError} access_denied, temporarily_unavailable */
  login: { login(jwt: string, role: string): Promise<{ readonly token: VaultToken; readonly expiresAt: number }> };
  accessOf: (token: VaultToken) => VaultAccess;
  /** @throws {PosternError} temporarily_unavailable */
  isDisabled: (tenant: string) => boolean;
  /** People who are known to have left, or to have lost a permission, since their access token was issued. */
  departed: { hasLeftSince(owner: Owner): boolean };
  rememberMs?: number;
}

interface Known {
  readonly token: VaultToken;
  readonly tenant: string;
  readonly until: number;
  readonly askedAt: number;
}

/** WHO calls the self-service API: a person's Auth0 access token, exchanged at Vault for one that reaches their tenant's keys alone. */
export class People {
  readonly #options: PeopleOptions;
  readonly #now: () => number;
  readonly #monotonic: () => number;
  /** By HMAC under a key of this process, so that no JWT lies in memory as a map key. */
  readonly #known = new BoundedMap<string, Known>(10_000);
  readonly #key = randomBytes(32);

  constructor(options: PeopleOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#monotonic = monotonicOf(options);
  }

  /**
   * @param admit told who it is before Vault is asked anything for them; what it throws passes
   * @throws {Problem} invalid-token, access-denied; {PosternError} unauthorized_client, temporarily_unavailable
   */
  async identify({ authorization }: IncomingHttpHeaders, admit: (organization: string, id: string) => void): Promise<Person> {
    if (authorization === undefined) throw new Problem('invalid-token', NO_ACCESS_TOKEN);
    const jwt = /^bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)$/i.exec(authorization)?.[1];
    if (jwt === undefined) throw new Problem('invalid-token', 'Authorization must be Bearer with a JWT');
    const verified = await this.#options.bearer.verify(jwt);
    const { subject, organization, permissions } = verified;
    if (!OWNER.test(subject)) throw new Problem('access-denied', subject.endsWith('@clients') ? NO_PERSON : UNFIT_ID);
    if (organization === undefined || !ORGANIZATION.test(organization))
      throw new Problem('access-denied', 'This token names no organization: log in to the one whose key you want');
    admit(organization, subject);
    const { token, tenant } = await this.#vaultTokenOf(verified);
    const access = this.#options.accessOf(token);
    const { data } = await access.call('read what your organization may have', ({ documents, as }) =>
      documents.read(`tenants/${tenant}`, as),
    );
    const grants = tenantDocument.safeParse(data);
    if (!grants.success)
      throw new PosternError('misconfigured', 'Your organization is not set up', {
        detail: `tenants/${tenant} in Vault is missing or not valid`,
      });
    // Terraform wrote both: the entity that Vault found by org_id, and the tenant's document.
    if (grants.data.organization !== organization) throw new Problem('access-denied', NO_TENANT);
    if (this.#options.isDisabled(tenant)) throw new Problem('access-denied', 'Your organization is disabled');
    limitsOf(grants.data);
    // An access token lives on for hours, and Auth0 takes none back.
    const checkHere = (): void => {
      if (this.#options.departed.hasLeftSince({ id: subject, organization, since: verified.issuedAt }))
        throw new Problem('invalid-token', 'This access token is from before you left or lost a permission: log in again');
    };
    checkHere();
    return {
      id: subject,
      organization,
      tenant,
      permissions,
      administrator: permissions.includes(ADMINISTRATOR),
      grants: grants.data,
      access,
      since: verified.issuedAt,
      checkHere,
    };
  }

  async #vaultTokenOf({ jwt, expiresAt }: VerifiedBearer): Promise<Pick<Known, 'token' | 'tenant'>> {
    const name = createHmac('sha256', this.#key).update(jwt).digest('base64');
    const known = this.#known.get(name);
    if (known !== undefined && known.until > this.#now() && this.#monotonic() - known.askedAt < (this.#options.rememberMs ?? 30_000))
      return known;
    const askedAt = this.#monotonic();
    const given = await this.#options.login.login(jwt, 'self');
    const tenant = await this.#tenantOf(this.#options.accessOf(given.token));
    const fresh = { token: given.token, tenant, until: Math.min(given.expiresAt - 10_000, expiresAt), askedAt };
    this.#known.set(name, fresh);
    return fresh;
  }

  /** As Vault has it: the entity that the organization's alias belongs to. */
  async #tenantOf(access: VaultAccess): Promise<string> {
    const own = await access.call('tell whose token this is', ({ client, as }) => client.read('auth/token/lookup-self', as));
    const entity = own?.data?.['entity_id'];
    if (typeof entity !== 'string' || !/^[0-9a-f-]{36}$/.test(entity)) throw new Problem('access-denied', NO_TENANT);
    const found = await access
      .call('tell which tenant this is', ({ client, as }) => client.read(`identity/entity/id/${entity}`, as))
      .catch((error: unknown) => {
        if (error instanceof PosternError && error.code === 'access_denied') return undefined;
        throw error;
      });
    const tenant = (found?.data?.['metadata'] as Record<string, unknown> | null | undefined)?.[TENANT_METADATA];
    if (typeof tenant !== 'string' || !NAME.test(tenant)) throw new Problem('access-denied', NO_TENANT);
    return tenant;
  }
}

const NO_PERSON = "This is an application's token: keys here belong to people";
const UNFIT_ID =
  'Your user id at Auth0 has characters that the owner of a key can not have: a space, a comma, a backslash or none of ASCII';
const NO_TENANT = "Your organization's people make no keys of their own here";
