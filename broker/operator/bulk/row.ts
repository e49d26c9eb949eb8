import type { Api } from '#broker/authorization/documents.ts';
import { PosternError } from '#broker/error.ts';
import { checkTenantId } from '#broker/operator/name.ts';
import { checkSpecification } from '#broker/operator/tenant/specification.ts';
import type { TenantSpecification } from '#broker/operator/tenant/specification.ts';
import { tenantRecord } from './columns.ts';
import type { TenantRecord } from './columns.ts';
import type { Entry } from './table.ts';

/** A tenant to be made, as far as can be told without looking at it. */
export interface Row {
  /** @see Entry */
  readonly at: number;
  readonly tenant: string;
  readonly spec: TenantSpecification;
  readonly disabled: boolean | undefined;
  readonly trusts: NonNullable<TenantRecord['trusts']>;
  readonly issue: { readonly kind: 'key' | 'secret_id'; readonly name: string } | undefined;
}

export interface Fault {
  readonly at: number;
  readonly tenant: string | null;
  readonly message: string;
}

/** What a credential is called whose row gives it no name. */
const CREDENTIAL_NAME = 'import';

/** Every fault of every entry is told at once. */
export function readRows(entries: readonly Entry[], apis: ReadonlyMap<string, Api | undefined>): { rows: Row[]; faults: Fault[] } {
  const rows: Row[] = [];
  const faults: Fault[] = [];
  const seen = new Map<string, number>();
  for (const { at, record, faults: unreadable } of entries) {
    const tenant = typeof record['tenant'] === 'string' ? record['tenant'] : null;
    const tell = (...messages: string[]): void => void faults.push(...messages.map((message) => ({ at, tenant, message })));
    tell(...unreadable);
    const first = tenant === null ? undefined : seen.get(tenant.toLowerCase());
    if (first !== undefined) tell(`the tenant ${JSON.stringify(tenant)} stands at ${first} already`);
    else if (tenant !== null) seen.set(tenant.toLowerCase(), at);
    if (unreadable.length > 0) continue;
    const parsed = tenantRecord.safeParse(record);
    if (!parsed.success) {
      tell(...parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${tenant === null ? 'there is no tenant' : message}`));
      continue;
    }
    try {
      const row = rowOf(at, parsed.data);
      checkSpecification(row.tenant, row.spec, apis);
      rows.push(row);
    } catch (error) {
      if (!(error instanceof PosternError)) throw error;
      tell(error.detail === undefined ? error.message : `${error.message}. ${error.detail}`);
    }
  }
  return { rows, faults };
}

function rowOf(at: number, record: TenantRecord): Row {
  const { tenant, grants, default_api: defaultApi, introspects, organization, claims, cidrs, trusts = [], issue, credential } = record;
  if (tenant !== tenant.toLowerCase())
    throw new PosternError('invalid_request', `${JSON.stringify(tenant.slice(0, 80))} can't be a tenant's id`, {
      detail: `Ids have no capitals: write ${JSON.stringify(tenant.toLowerCase().slice(0, 80))}.`,
    });
  checkTenantId(tenant);
  const name = credential ?? CREDENTIAL_NAME;
  if (!/^[^\p{Cc}]{1,128}$/u.test(name) || /^[=+\-@]/.test(name))
    throw new PosternError('invalid_request', 'credential: 1 to 128 characters on one line, and no formula');
  if (credential && !issue)
    throw new PosternError('invalid_request', 'credential names one that is not asked for: set issue to key or secret_id');
  return {
    at,
    tenant,
    spec: {
      ...(grants === undefined ? {} : { grants }),
      ...(defaultApi === undefined ? {} : { defaultApi }),
      ...(introspects === undefined ? {} : { introspects }),
      ...(record.publish === undefined ? {} : { publish: record.publish }),
      ...(organization === undefined ? {} : { organization }),
      ...(claims === undefined ? {} : { claims }),
      ...(cidrs === undefined ? {} : { cidrs }),
      ...(record.token_ttl === undefined ? {} : { tokenTtl: record.token_ttl }),
      ...(record.secret_id_ttl === undefined ? {} : { secretIdTtl: record.secret_id_ttl }),
      ...(record.secret_id_num_uses === undefined ? {} : { secretIdNumUses: record.secret_id_num_uses }),
      ...(record.self_service === undefined ? {} : { selfService: record.self_service }),
      ...(record.limits === undefined ? {} : { limits: record.limits }),
      ...(record.quota === undefined ? {} : { quota: record.quota }),
    },
    disabled: record.disabled,
    trusts,
    issue: issue ? { kind: issue, name } : undefined,
  };
}
