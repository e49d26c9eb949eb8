/**
 * What a token's claims depend on beside its grant: how it is bound to its tenant, and the claim that names the tenant.
 * It goes into every grant's key and so into the digests under which tokens are stored. Brokers of all versions and the
 * plugin share those, so what this returns must never change.
 * @param tenantClaim a namespaced claim, such as `https://postern.dev/tenant`
 */
export function claimsLayout({ binding, tenantClaim }: { readonly binding: string; readonly tenantClaim: string }): string {
  return `${binding} ${tenantClaim}`;
}
