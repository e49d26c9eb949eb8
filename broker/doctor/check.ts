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
