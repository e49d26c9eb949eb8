/** What the identity provider knows of the people who own keys. */
export interface Directory {
  /** Members of an organization, with the ids of their roles there; undefined: it knows no such organization. */
  membersOf(organization: string): Promise<ReadonlyMap<string, readonly string[]> | undefined>;
  /** @param person Auth0 user id */
  standingOf(person: string): Promise<Standing>;
  /**
   * Which of these permissions a member has no longer, at the API that stands for self-service.
   * @param roles the member's in the organization, as {@link membersOf} tells
   */
  lost(person: string, organization: string, roles: readonly string[], permissions: readonly string[]): Promise<string[]>;
}

export type Standing = 'active' | 'blocked' | 'deleted';
