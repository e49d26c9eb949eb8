/** What Vault does for clients, each in another part of it, which may hang while the rest of it answers. */
export const VAULT_PARTS = {
  logins: 'logins with client secrets',
  assertions: 'logins with assertions',
  tenants: 'what tenants may do',
  tokens: 'the stored tokens',
  storing: 'the storing of tokens',
  signing: 'signatures',
} as const;

export type VaultPart = keyof typeof VAULT_PARTS;
