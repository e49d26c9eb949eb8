import { z } from 'zod';
import { tenantDocument } from '#broker/authorization/documents.ts';
import type { TenantGrants } from '#broker/authorization/documents.ts';
import type { GrantReader } from '#broker/authorization/authorization.ts';
import { BoundedMap } from '#broker/bounded-map.ts';
import { CLIENT_ID } from '#broker/credential/approle.ts';
import { NAME, VaultToken } from '#broker/credential/identity.ts';
import type { Identity } from '#broker/credential/identity.ts';
import type { Invalid, Records } from './records.ts';

const PREFIX = 'roles/';
/** Most roles in memory. */
const MAX = 12_000;

/** `roles/<tenant>`: the broker's document of a tenant, and how long a token must at least live on for it. */
export const roleDocument = tenantDocument
  .pick({ grants: true, default_api: true, organization: true, claims: true, disabled: true })
  .extend({
    /** The AppRole role_id by which the tenant logs in: nobody else reads its tokens, whatever Vault's policies allow. */
    client_id: z.string().regex(CLIENT_ID, 'is not a client id').nullish(),
    /** Seconds; default: the configuration's. */
    min_remaining: z.number().int().min(0).max(86_400).nullish(),
  });

export type Role = z.infer<typeof roleDocument>;

/** What still binds of a role that isn't valid: whose it is, and that it is disabled, as it is unless it surely isn't. */
const bonds = roleDocument.pick({ client_id: true }).extend({ disabled: z.boolean().catch(true) });

/** A tenant that has a role. */
export interface Tenant {
  /** What Authorization remembers what it decided by: it lives as long as the role stays as it is. */
  readonly identity: Identity;
  readonly role: Role;
}

/** `roles/*`: read once, then from memory until somebody changes them. */
export class Roles implements GrantReader {
  readonly #records: Records;
  readonly #tenants = new BoundedMap<string, Promise<Tenant | undefined> | Tenant>(MAX);
  readonly #grants = new WeakMap<Identity, TenantGrants>();
  /** Those whose role was written or removed since they were read. */
  readonly #superseded = new WeakSet<Tenant>();

  constructor(records: Records) {
    this.#records = records;
  }

  /** @returns at once from memory, else a promise; undefined where there is no such role */
  find(name: string): Tenant | undefined | Promise<Tenant | undefined> {
    const known = this.#tenants.get(name);
    if (known !== undefined) return known;
    const reading = this.#read(name);
    this.#tenants.set(name, reading);
    reading.then(
      (tenant) => {
        if (this.#tenants.peek(name) !== reading) {
          if (tenant !== undefined) this.#superseded.add(tenant);
          return;
        }
        // Names without a role must not fill the memory.
        if (tenant === undefined) this.#tenants.delete(name);
        else this.#tenants.set(name, tenant);
      },
      () => {
        if (this.#tenants.peek(name) === reading) this.#tenants.delete(name);
      },
    );
    return reading;
  }

  /** The same where it is in memory already. */
  known(name: string): Tenant | undefined {
    const known = this.#tenants.peek(name);
    return known instanceof Promise ? undefined : known;
  }

  /** Whether the tenant's role is still the one that was found. */
  isCurrent(tenant: Tenant): boolean {
    return !this.#superseded.has(tenant);
  }

  /** One after the other for each role: what reads {@link stored} and writes accordingly. */
  alone<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    return this.#records.alone(PREFIX + name, work);
  }

  /** As it is stored now. */
  stored(name: string): Promise<Role | undefined> {
    return this.#records.read(PREFIX + name, roleDocument);
  }

  /** As it is stored now, also where it isn't valid: who writes it whole replaces it. @throws {BackendError} 503 */
  look(name: string): Promise<Role | Invalid | undefined> {
    return this.#records.look(PREFIX + name, roleDocument);
  }

  /** Of a role that isn't valid. @returns Invalid where not even these can be read. @throws {BackendError} 503 */
  lookAtBonds(name: string): Promise<z.infer<typeof bonds> | Invalid | undefined> {
    return this.#records.look(PREFIX + name, bonds);
  }

  readGrants(identity: Identity): Promise<TenantGrants | undefined> {
    return Promise.resolve(this.#grants.get(identity));
  }

  async names(): Promise<readonly string[]> {
    return (await this.#records.list(PREFIX)).filter((name) => NAME.test(name));
  }

  async write(name: string, role: Role): Promise<void> {
    try {
      await this.#records.write(PREFIX + name, role);
    } finally {
      this.forget(name);
    }
  }

  async delete(name: string): Promise<void> {
    try {
      await this.#records.delete(PREFIX + name);
    } finally {
      this.forget(name);
    }
  }

  forget(name: string): void {
    const known = this.known(name);
    if (known !== undefined) this.#superseded.add(known);
    this.#tenants.delete(name);
  }

  async #read(name: string): Promise<Tenant | undefined> {
    const role = await this.stored(name);
    if (role === undefined) return undefined;
    const identity = identityOf(name, role.client_id ?? name);
    const { grants, organization, claims, disabled } = role;
    // Introspection is not offered by this door.
    this.#grants.set(identity, {
      grants,
      organization,
      claims,
      disabled,
      default_api: role.default_api ?? onlyApi(role),
      introspects: [],
      publish: [],
    });
    return { identity, role };
  }
}

/** Where a tenant has one API only, that is meant when none is named. */
function onlyApi({ grants }: Role): string | undefined {
  return grants.length === 1 ? grants[0]?.api : undefined;
}

/** Vault has authenticated the caller, and its policy allows it this tenant's path: the engine has no Vault token to act by. */
export function identityOf(tenant: string, clientId: string): Identity {
  return { tenant, clientId, token: new VaultToken(''), forwardedFor: undefined, expiresAt: Infinity, endsAt: Infinity };
}
