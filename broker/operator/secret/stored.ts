/** One secret_id as its accessor shows it: everything but the secret. */
export interface SecretIdView {
  tenant: string;
  accessor: string;
  name: string | null;
  /** Display name of the operator's token that issued it. */
  issued_by: string | null;
  /** ISO 8601. */
  created_at: string | null;
  /** ISO 8601; null: until revoked. */
  expires_at: string | null;
  /** Logins left; null: no limit. */
  uses_left: number | null;
  /** Where it may be used from; empty: anywhere. */
  cidrs: string[];
}

/** A secret_id with its metadata as Vault has it. */
export interface StoredSecretId {
  view: SecretIdView;
  metadata: Readonly<Record<string, unknown>>;
}
