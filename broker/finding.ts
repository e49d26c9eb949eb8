/** One thing that was looked at before a start. */
export interface Finding {
  readonly what: string;
  /** `unknown`: Vault can't be asked. */
  readonly state: 'ok' | 'fault' | 'unknown';
  /** For the operator; never a secret. */
  readonly detail: string;
}
