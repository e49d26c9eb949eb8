import { PosternError } from '#broker/error.ts';
import { MigrationJournal } from '#broker/operator/migration/journal.ts';
import { readMapping } from '#broker/operator/migration/mapping.ts';
import type { Mapped, Mapping } from '#broker/operator/migration/mapping.ts';
import { tableInput } from '#cli/command/tenant/table-input.ts';
import type { Terminal } from '#cli/output.ts';

/** Requests that Auth0 turned away are sent again so often, each time after as long as it says. */
export const RETRIES = 8;

/** Of every step after the plan. */
export interface MigrationOptions {
  journal?: string;
}

export const JOURNAL = ['--journal <file>', 'what was done so far, without secrets (default: <plan>.journal)'] as const;

/** @throws {PosternError} invalid_request */
export async function mappingOf(terminal: Terminal, file: string): Promise<Mapping> {
  return readMapping(new TextDecoder().decode(await tableInput(terminal, file)));
}

/** @throws {PosternError} invalid_request where standard input has no name to go by */
export function beside(named: string | undefined, plan: string, ending: string, flag: string): string {
  if (named !== undefined) return named;
  if (plan !== '-') return `${plan}${ending}`;
  throw new PosternError('invalid_request', `A plan that comes by standard input needs ${flag} FILE`);
}

export function journalPath({ journal }: MigrationOptions, plan: string): string {
  return beside(journal, plan, '.journal', '--journal');
}

export function openJournal(
  options: MigrationOptions & { vaultAddr: string },
  plan: string,
  { domain }: Mapping,
): Promise<MigrationJournal> {
  return MigrationJournal.open(journalPath(options, plan), { vault: options.vaultAddr, domain: host(domain) });
}

/** A plan of one Auth0 tenant is never carried out at another. @throws {PosternError} conflict */
export function requireSameTenant({ domain }: Mapping, env: Terminal['env']): void {
  const given = env['AUTH0_DOMAIN'];
  if (given === undefined || given === '' || host(given) === host(domain)) return;
  throw new PosternError('conflict', printable(`The plan is of the Auth0 tenant ${host(domain)}, and AUTH0_DOMAIN is ${host(given)}`), {
    detail: 'Set AUTH0_DOMAIN to that of the plan, or plan again.',
  });
}

/** The applications named, in the plan's order; nobody named: all. @throws {PosternError} not_found */
export function named({ applications }: Mapping, ids: readonly string[]): readonly Mapped[] {
  const unknown = ids.filter((id) => !applications.some((one) => one.client_id === id));
  if (unknown.length > 0)
    throw new PosternError('not_found', `The plan has no application ${unknown.map((id) => printable(id.slice(0, 128))).join(', ')}`, {
      detail: 'Its client_ids: postern migrate status PLAN.',
    });
  return ids.length === 0 ? applications : applications.filter(({ client_id: id }) => ids.includes(id));
}

/** Anybody who may name an application could write to the terminal. */
export const printable = (text: string): string => text.replace(/\p{C}/gu, ' ');

function host(domain: string): string {
  return (URL.parse(domain.includes('://') ? domain : `https://${domain}`)?.host ?? domain).toLowerCase();
}
