import { z } from 'zod';
import { PosternError } from '#broker/error.ts';
import { tenantRecord } from '#broker/operator/bulk/columns.ts';
import { nearest } from '#broker/operator/bulk/nearest.ts';
import type { Entry } from '#broker/operator/bulk/table.ts';

/** As `migrate plan` writes it; what a tenant can have beside its grants may be added to each. */
const application = tenantRecord
  .omit({ grants: true, trusts: true, disabled: true, self_service: true, credential: true, introspects: true })
  .extend({
    client_id: z.string().regex(/^[A-Za-z0-9._~-]{1,128}$/, "is no application's client_id"),
    name: z.string().max(1_000).default(''),
    migrate: z.boolean(),
    grants: z.array(z.strictObject({ api: z.string(), scopes: z.array(z.string()) })),
    left_behind: z.array(z.string()).optional(),
  });

const document = z.strictObject({
  version: z.literal(1),
  domain: z.string().min(1),
  applications: z.array(application).max(100_000),
});

export type Mapped = z.infer<typeof application>;

/** What each application becomes: the plan, with a person's changes. */
export interface Mapping {
  readonly domain: string;
  readonly applications: readonly Mapped[];
}

/** Faults told at once. */
const TOLD = 20;

/** @param text of the plan's file @throws {PosternError} invalid_request, naming what is wrong and where */
export function readMapping(text: string): Mapping {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch {
    throw wrong(['the file is no JSON']);
  }
  const parsed = document.safeParse(value);
  if (!parsed.success) throw wrong(parsed.error.issues.flatMap((issue) => told(issue, value)));
  const { domain, applications } = parsed.data;
  const seen = new Set<string>();
  const twice = applications.map(({ client_id: id }) => id).filter((id) => seen.has(id) || !seen.add(id));
  if (twice.length > 0) throw wrong([...new Set(twice)].map((id) => `the application ${id} stands there twice`));
  return { domain, applications };
}

/** Rows of an import, each with a credential of its own. */
export function entriesOf(applications: readonly Mapped[]): Entry[] {
  return applications.map((application, index) => {
    const { issue, client_id: id } = application;
    const record = Object.fromEntries(Object.entries(application).filter(([name]) => !NO_COLUMNS.includes(name)));
    return {
      at: index + 1,
      record: issue === null ? record : { ...record, issue: issue ?? 'secret_id', credential: credentialName(id) },
      faults: [],
    };
  });
}

/** Of the plan alone. */
const NO_COLUMNS: readonly string[] = ['client_id', 'name', 'migrate', 'left_behind', 'issue'];

/** What the credential is called that takes an application's place. */
export const credentialName = (clientId: string): string => `migrated from ${clientId}`;

function told(issue: z.core.$ZodIssue, value: unknown): string[] {
  const { path, message } = issue;
  const [list, index] = path;
  const one = list === 'applications' && typeof index === 'number' ? (value as { applications: unknown[] }).applications[index] : undefined;
  const id = (one as { client_id?: unknown } | null | undefined)?.client_id;
  const where = typeof id === 'string' ? [id.slice(0, 64), ...path.slice(2)].join('.') : path.join('.');
  if (issue.code !== 'unrecognized_keys') return [`${where || 'the file'}: ${message}`];
  return issue.keys.map((key) => {
    const near = nearest(key, Object.keys(path.length === 0 ? document.shape : application.shape));
    return `${where || 'the file'}: there is no field ${JSON.stringify(key.slice(0, 60))}${near === undefined ? '' : `; do you mean "${near}"?`}`;
  });
}

function wrong(faults: readonly string[]): PosternError {
  const lines = faults.slice(0, TOLD).map((fault) => `  ${fault.replaceAll(/\p{C}/gu, ' ')}`);
  if (faults.length > TOLD) lines.push(`  and ${faults.length - TOLD} more`);
  return new PosternError('invalid_request', `Nothing was changed. This is no plan of a migration:\n${lines.join('\n')}`, {
    detail: 'Write one by `postern migrate plan --out plan.json`.',
  });
}
