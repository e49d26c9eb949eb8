/** One thing that `postern doctor` looked at. */
export interface Check {
  /** What was looked at, e.g. `vault: lockout`. */
  name: string;
  /** `warning` works but should be changed; `skipped` could not be looked at, or does not apply. */
  status: 'ok' | 'warning' | 'failed' | 'skipped';
  /** What was seen. Never a secret. */
  seen: string;
  /** What to do; empty where nothing is. */
  remedy: string;
}

export const ok = (name: string, seen: string): Check => ({ name, status: 'ok', seen, remedy: '' });
export const warning = (name: string, seen: string, remedy: string): Check => ({ name, status: 'warning', seen, remedy });
export const failed = (name: string, seen: string, remedy: string): Check => ({ name, status: 'failed', seen, remedy });
export const skipped = (name: string, seen: string, remedy = ''): Check => ({ name, status: 'skipped', seen, remedy });

/** The remedy for what Terraform makes. */
export const APPLY = 'Run terraform apply.';

/** Names that one check lists; more are counted. */
export const LISTED = 20;

/** A plain value of Vault's answer, as text. */
export function said(value: unknown, fallback = 'unknown'): string {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : fallback;
}
