import { ManagementError } from 'auth0';
import type { ManagementClient } from 'auth0';
import type { Directory, Standing } from '#broker/credential/directory.ts';
import { PosternError } from '#broker/error.ts';
import { explainManagement } from './management.ts';

export interface PeopleOptions {
  management: ManagementClient;
  /** Of the Auth0 API that stands for self-service: its permissions are what people's keys may do. */
  audience: string;
  signal?: AbortSignal | undefined;
}

/** Auth0's own limit for a page. */
const PAGE = 100;

/** Owners of keys, as Auth0's Management API knows them. https://auth0.com/docs/api/management/v2 */
export class Auth0People implements Directory {
  readonly #management: ManagementClient;
  readonly #audience: string;
  readonly #request: { abortSignal?: AbortSignal };
  readonly #roles = new Map<string, Promise<ReadonlySet<string>>>();

  constructor({ management, audience, signal }: PeopleOptions) {
    this.#management = management;
    this.#audience = audience;
    this.#request = signal === undefined ? {} : { abortSignal: signal };
  }

  /** In another Auth0 tenant everybody would seem to have left. @throws {PosternError} misconfigured where the API isn't in this one */
  async check(): Promise<void> {
    const found = await this.#orMissing('read the self-service API', 'read:resource_servers', () =>
      this.#management.resourceServers.get(this.#audience, {}, this.#request),
    );
    if (found === undefined)
      throw new PosternError('misconfigured', 'This Auth0 tenant has no such API as the one that stands for self-service', {
        detail: `Is AUTH0_DOMAIN right? --audience and POSTERN_SELF_AUDIENCE say ${this.#audience}`,
      });
  }

  async membersOf(organization: string): Promise<ReadonlyMap<string, readonly string[]> | undefined> {
    return this.#orMissing(
      'list the members of an organization',
      'read:organization_members and read:organization_member_roles',
      async () => {
        const members = new Map<string, readonly string[]>();
        const page = await this.#management.organizations.members.list(
          organization,
          { take: PAGE, fields: 'user_id,roles', include_fields: true },
          this.#request,
        );
        for await (const { user_id: user, roles } of page)
          if (user !== undefined)
            members.set(
              user,
              (roles ?? []).flatMap(({ id }) => id ?? []),
            );
        return members;
      },
    );
  }

  async standingOf(person: string): Promise<Standing> {
    const user = await this.#orMissing('read a user', 'read:users', () =>
      this.#management.users.get(person, { fields: 'user_id,blocked', include_fields: true }, this.#request),
    );
    if (user === undefined) return 'deleted';
    return user.blocked === true ? 'blocked' : 'active';
  }

  async lost(person: string, organization: string, roles: readonly string[], permissions: readonly string[]): Promise<string[]> {
    const own = await this.#explained('read the permissions of a user', 'read:users', async () =>
      this.#names(await this.#management.users.permissions.list(person, { per_page: PAGE }, this.#request)),
    );
    const missing = this.#beyond([own, ...(await this.#ofRoles(roles))], permissions);
    if (missing.length === 0) return [];
    // What a group gives stands only here, which costs two more requests.
    const byGroup = await this.#ifOffered(async () =>
      this.#names(
        await this.#management.users.effectivePermissions.list(
          person,
          { resource_server_identifier: this.#audience, take: PAGE },
          this.#request,
        ),
      ),
    );
    const effective = await this.#ifOffered(async () => {
      const ids: string[] = [];
      const page = await this.#management.organizations.members.effectiveRoles.list(organization, person, { take: PAGE }, this.#request);
      for await (const { id } of page) ids.push(id);
      return ids;
    });
    return this.#beyond([byGroup ?? new Set(), ...(await this.#ofRoles(effective ?? []))], missing);
  }

  #beyond(held: readonly ReadonlySet<string>[], permissions: readonly string[]): string[] {
    return permissions.filter((permission) => !held.some((one) => one.has(permission)));
  }

  /** Each role is asked for once: many people share it. */
  #ofRoles(roles: readonly string[]): Promise<ReadonlySet<string>[]> {
    return Promise.all(
      roles.map((role) => {
        let known = this.#roles.get(role);
        if (known === undefined) {
          known = this.#explained('read the permissions of a role', 'read:roles', async () =>
            this.#names(await this.#management.roles.permissions.list(role, { per_page: PAGE }, this.#request)),
          );
          this.#roles.set(role, known);
        }
        return known;
      }),
    );
  }

  async #names(
    page: AsyncIterable<{ resource_server_identifier?: string | undefined; permission_name?: string | undefined }>,
  ): Promise<ReadonlySet<string>> {
    const names = new Set<string>();
    for await (const { resource_server_identifier: api, permission_name: name } of page)
      if (api === this.#audience && name !== undefined) names.add(name);
    return names;
  }

  /** @returns undefined where Auth0 says that it isn't there */
  async #orMissing<T>(doing: string, scope: string, work: () => PromiseLike<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof ManagementError && error.statusCode === 404) return undefined;
      throw explainManagement(error, doing, scope);
    }
  }

  async #explained<T>(doing: string, scope: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw explainManagement(error, doing, scope);
    }
  }

  /** Groups aren't in every Auth0 plan. @returns undefined where there are none, or the token may not look */
  async #ifOffered<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof ManagementError && [400, 403, 404].includes(error.statusCode ?? 0)) return undefined;
      throw explainManagement(error, 'read what groups give a user', 'read:user_effective_permissions');
    }
  }
}
