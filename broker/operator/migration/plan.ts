import type { Api } from '#broker/authorization/documents.ts';
import { PosternError } from '#broker/error.ts';
import { checkTenantId } from '#broker/operator/name.ts';

/** An M2M application, as Auth0 tells of it. */
export interface Source {
  clientId: string;
  name: string;
  authentication: string | undefined;
  otherGrantTypes: readonly string[];
  metadata: readonly string[];
  grants: readonly { audience: string; scopes: readonly string[] | 'all'; organization: 'deny' | 'allow' | 'require' }[];
}

/** What one application becomes. A person may change all but `client_id`. */
export interface Planned {
  client_id: string;
  name: string;
  tenant: string;
  /** False where there is nothing that a tenant could be given. */
  migrate: boolean;
  grants: { api: string; scopes: string[] }[];
  /** What isn't carried over, and why. */
  left_behind: string[];
}

export interface PlanOptions {
  apis: ReadonlyMap<string, Api | undefined>;
  /** Names that tenants have already. */
  tenants: readonly string[];
  /** client_ids that stay as they are, e.g. the application that all tenants share. */
  except: readonly string[];
  /** The tenants that stand in an application's place already, by its client_id. */
  known?: ReadonlyMap<string, string>;
}

/** What each application becomes; the same input gives the same plan. */
export function planMigration(applications: readonly Source[], { apis, tenants, except, known }: PlanOptions): Planned[] {
  const taken = new Set(tenants);
  const byAudience = new Map<string, Api>();
  for (const api of apis.values()) if (api !== undefined) byAudience.set(api.audience, api);
  return applications
    .filter(({ clientId }) => !except.includes(clientId))
    .map((application) => {
      const tenant = known?.get(application.clientId) ?? freeName(application, taken);
      taken.add(tenant);
      const left: string[] = [];
      const grants = application.grants.flatMap((grant) => carried(grant, byAudience, left));
      if (application.grants.length === 0) left.push('it has no client grant, so it can get no token today either');
      left.push(...leftOf(application));
      return { client_id: application.clientId, name: application.name, tenant, migrate: grants.length > 0, grants, left_behind: left };
    });
}

function carried(
  { audience, scopes, organization }: Source['grants'][number],
  apis: ReadonlyMap<string, Api>,
  left: string[],
): Planned['grants'] {
  if (/^https:\/\/[^/]+\/api\/v2\/$/.test(audience)) {
    left.push(`${audience}: tokens for Auth0's Management API are never given to tenants; keep an application for it`);
    return [];
  }
  const api = apis.get(audience);
  if (api === undefined) {
    left.push(`${audience}: Postern has no API of this audience; add it by Terraform and plan again`);
    return [];
  }
  const wanted = scopes === 'all' ? api.scopes : scopes;
  const unknown = wanted.filter((scope) => !api.scopes.includes(scope));
  if (unknown.length > 0)
    left.push(`${audience}: the API "${api.name}" has no scope ${unknown.join(', ')}; add it by Terraform and plan again`);
  if (organization !== 'deny')
    left.push(
      `${audience}: an exchange ${organization === 'require' ? 'must' : 'may'} name an organization, a tenant has one: ` +
        'give it by `postern tenant create --organization`',
    );
  const known = [...new Set(wanted)].filter((scope) => api.scopes.includes(scope));
  return wanted.length > 0 && known.length === 0 ? [] : [{ api: api.name, scopes: known }];
}

function leftOf({ authentication, otherGrantTypes, metadata }: Source): string[] {
  const left = ['its client_id and client_secret: the tenant gets new ones'];
  if (authentication !== undefined && !authentication.startsWith('client_secret'))
    left.push(`it proves itself by ${authentication}: a key pair is registered anew`);
  if (otherGrantTypes.length > 0) left.push(`its grant types ${otherGrantTypes.join(', ')} stay at Auth0: do not delete it`);
  if (metadata.length > 0)
    left.push(
      `its application metadata (${metadata.join(', ')}), which an Action may read: what services need becomes claims of the tenant`,
    );
  return left;
}

/** From the application's name; a second one of that name has the start of its client_id behind it. */
function freeName({ name, clientId }: Source, taken: ReadonlySet<string>): string {
  const plain = slug(name);
  const told = slug(`${plain.slice(0, 50)}-${clientId.slice(0, 8)}`);
  const names = [plain, told, ...Array.from({ length: taken.size + 1 }, (_, at) => `${told}-${at + 2}`)];
  const free = names.find((one) => isTenantId(one) && !taken.has(one));
  // `told` is reserved by nobody and there are more names than are taken.
  if (free === undefined) throw new PosternError('invalid_request', 'An application has neither a name nor a client_id');
  return free;
}

function slug(text: string): string {
  return text
    .normalize('NFKD')
    .toLowerCase()
    .replace(/\p{M}/gu, '')
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 63)
    .replace(/^-+|-+$/g, '');
}

function isTenantId(name: string): boolean {
  try {
    checkTenantId(name);
    return true;
  } catch {
    return false;
  }
}
