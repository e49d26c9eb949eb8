import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import { ownerClaims } from '#broker/credential/owner.ts';
import { PosternError } from '#broker/error.ts';
import type { VerifiedClaims } from './verifier.ts';

/**
 * How a token of the one shared application is bound to a tenant.
 * - `organization`: Auth0 Organizations for M2M, claim `org_id` (B2B Professional or Enterprise plans)
 * - `action`: the Credentials-Exchange Action of `terraform/modules/auth0` reads the body parameter
 *   `postern_tenant` and sets a namespaced claim (any plan)
 */
export const BINDING_MODES = ['organization', 'action'] as const;
export type BindingMode = (typeof BINDING_MODES)[number];

/** The body parameter that the Action reads. */
export const TENANT_PARAMETER = 'postern_tenant';
/** Of a person's key: the person, and the key. The Action reads them too, whatever binds the tenant. */
export const OWNER_PARAMETERS = { owner: 'postern_owner', key: 'postern_key' } as const;

interface Binding {
  parameters(grant: AuthorizedGrant): Record<string, string>;
  /** @throws {PosternError} misconfigured for a token of another tenant or of none: it must not be cached, let alone served */
  check(claims: VerifiedClaims, grant: AuthorizedGrant, tenantClaim: string): void;
}

export const BINDINGS: Readonly<Record<BindingMode, Binding>> = {
  organization: {
    parameters: (grant) => ({ organization: organizationOf(grant) }),
    check: (claims, grant) => {
      if (claims.all['org_id'] !== organizationOf(grant)) throw unbound("its org_id is not the tenant's organization");
    },
  },
  action: {
    parameters: (grant) => ({ [TENANT_PARAMETER]: grant.tenant }),
    check: (claims, grant, tenantClaim) => {
      if (claims.all[tenantClaim] !== grant.tenant)
        throw unbound(
          `its claim ${tenantClaim} does not name the tenant: is the Action deployed and bound to the Credentials Exchange trigger?`,
        );
    },
  },
};

/** Beside the tenant's: what tells Auth0 whose key it is. */
export function ownerParameters({ owner }: AuthorizedGrant): Record<string, string> {
  return owner === undefined ? {} : { [OWNER_PARAMETERS.owner]: owner.id, [OWNER_PARAMETERS.key]: owner.keyId };
}

/** @throws {PosternError} misconfigured for a token of another person, of nobody where it is somebody's, or the reverse */
export function checkOwner(claims: VerifiedClaims, { owner }: AuthorizedGrant, tenantClaim: string): void {
  const names = ownerClaims(tenantClaim);
  if (claims.all[names.owner] === owner?.id && claims.all[names.key] === owner?.keyId) return;
  throw unbound(`its claims ${names.owner} and ${names.key} do not name the key's owner: is the Action of this version deployed?`);
}

function organizationOf(grant: AuthorizedGrant): string {
  if (grant.organization === undefined) {
    throw new PosternError('misconfigured', 'Client is not set up', {
      detail: `tenant ${grant.tenant} has no organization, which POSTERN_AUTH0_BINDING=organization needs`,
      retryAfter: 10,
    });
  }
  return grant.organization;
}

function unbound(why: string): PosternError {
  return new PosternError('misconfigured', 'Service temporarily unavailable', {
    detail: `The token from Auth0 is refused: ${why}`,
    retryAfter: 10,
  });
}
