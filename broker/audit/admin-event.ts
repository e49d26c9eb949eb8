/** One change through the admin API, done or refused. Never a secret: keys by their accessor, callers by their name. */
export interface AdminEvent {
  /** ISO 8601, UTC. */
  readonly time: string;
  /** `admin.<operation>`, e.g. `admin.issueKey`. */
  readonly event: string;
  readonly outcome: 'done' | 'replayed' | 'refused';
  /** Subject of the JWT, or display name of the Vault token. */
  readonly caller: string;
  readonly by: 'jwt' | 'vault_token';
  readonly address: string;
  readonly ms: number;
  readonly tenant?: string | undefined;
  readonly key_id?: string | undefined;
  /** Name of a trust. */
  readonly trust?: string | undefined;
  readonly accessor?: string | undefined;
  /** Slug of the problem that it was refused with. */
  readonly error?: string | undefined;
}

export function adminLine(event: AdminEvent): string {
  return `${JSON.stringify(event)}\n`;
}
