import { LRUCache } from 'lru-cache';
import type { Entity, SystemView } from '#broker/plugin/backend.ts';

/** Most entities in memory. */
const MAX = 12_000;
/** How long an entity is remembered, ms. Its AppRole alias stays as it is for ever; the metadata is Terraform's to write. */
const AGE = 60_000;

/** In the metadata of a workload that logs in by another method than AppRole: terraform/modules/tenant/workload.tf writes them. */
const TENANT = 'postern_tenant';
const CLIENT = 'postern_client_id';

/** Which client a request's entity is, by Vault's identity store. */
export class Entities {
  readonly #system: Pick<SystemView, 'entity'>;
  readonly #monotonic: () => number;
  readonly #known = new LRUCache<string, { readonly entity: Entity; readonly until: number }>({ max: MAX });

  constructor(system: Pick<SystemView, 'entity'>, monotonic: () => number) {
    this.#system = system;
    this.#monotonic = monotonic;
  }

  /**
   * Whether the entity is this tenant's client: by its AppRole alias, whose name is the role_id; where it has none, by its metadata.
   * @returns at once for an entity asked about lately. @throws {BackendError} 500
   */
  isClient(entityId: string, client: { readonly tenant: string; readonly clientId: string }): boolean | Promise<boolean> {
    // A root token, say: Vault lets it read any path, but it is not a tenant's client.
    if (entityId === '') return false;
    const known = this.#known.get(entityId);
    if (known !== undefined && this.#monotonic() < known.until) return matches(known.entity, client);
    return this.#ask(entityId).then((entity) => entity !== undefined && matches(entity, client));
  }

  async #ask(entityId: string): Promise<Entity | undefined> {
    const entity = await this.#system.entity(entityId);
    if (entity !== undefined) this.#known.set(entityId, { entity, until: this.#monotonic() + AGE });
    return entity;
  }
}

function matches({ aliases, metadata }: Entity, { tenant, clientId }: { readonly tenant: string; readonly clientId: string }): boolean {
  const roleIds = aliases.filter(({ mountType }) => mountType === 'approle').map(({ name }) => name);
  if (roleIds.length > 0) return roleIds.includes(clientId);
  return metadata[TENANT] === tenant && metadata[CLIENT] === clientId;
}
