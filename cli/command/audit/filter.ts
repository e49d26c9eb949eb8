import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { seconds } from '#cli/command/duration.ts';

/** Fields of a line as the broker writes it; docs/reference.md describes them. */
export type AuditLine = Readonly<Record<string, unknown>> & { readonly time: string; readonly event: string };

export interface FilterOptions {
  tenant?: string;
  key?: string;
  outcome?: string;
  door?: string;
  event?: string;
  tokenSha256?: string;
  client?: string;
  error?: string;
  address?: string;
  from?: number;
  to?: number;
}

const FIELDS = {
  key: ['key_id', 'accessor'],
  outcome: ['outcome'],
  door: ['door'],
  event: ['event'],
  tokenSha256: ['token_sha256'],
  client: ['client_id', 'client_id_sha256'],
  error: ['error'],
  address: ['address'],
  tenant: ['tenant', 'token_tenant'],
} as const satisfies Partial<Record<keyof FilterOptions, readonly string[]>>;

/** Options by which `audit query` and `audit tail` choose lines. */
export function addFilters(command: Command): Command {
  return command
    .option('--tenant <id>', "this tenant's, also by credentials of it that were refused, and by its tokens")
    .option('--key <id>', 'this API key (key_…), or this accessor')
    .option('--outcome <word>', 'granted, refused, done, active, …')
    .option('--door <word>', 'token, exchange, jwt-bearer or verify')
    .option('--event <name>', 'e.g. token.exchange, admin.issueKey')
    .option('--client <id>', 'this client_id, or the SHA-256 of one')
    .option('--token-sha256 <hex>', 'the token of this SHA-256')
    .option('--error <code>', 'refused with this code, e.g. invalid_client')
    .option('--address <ip>', 'from this address')
    .option('--from <time>', 'at this time or later: 2026-11-29T08:00:00Z, or as long ago as 90s, 15m, 2h, 7d', timeOf)
    .option('--to <time>', 'before this time, said in the same way', timeOf);
}

/** An ISO time, or how long ago; ms since 1970. @throws InvalidArgumentError */
export function timeOf(text: string): number {
  if (/^(\d{1,10}[smhdwy])+$/.test(text)) return Date.now() - seconds(text) * 1000;
  // Without a zone it would be this machine's time, and a day of no month another one.
  const day = /^(\d{4}-\d\d-\d\d)(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d))?$/i.exec(text)?.[1];
  const midnight = Date.parse(`${day}T00:00:00Z`);
  const at = Date.parse(text);
  if (!Number.isNaN(midnight) && new Date(midnight).toISOString().startsWith(`${day}T`) && !Number.isNaN(at)) return at;
  throw new InvalidArgumentError('It is a time such as 2026-11-29T08:00:00Z, or how long ago: 90s, 15m, 2h, 7d.');
}

/** The line as an object, where it is one of the audit's; lines of the broker's log, mixed in on stdout, are not. */
export function parsed(line: string): AuditLine | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const one = JSON.parse(line) as Record<string, unknown>;
    return typeof one['event'] === 'string' && typeof one['time'] === 'string' && 'outcome' in one ? (one as AuditLine) : undefined;
  } catch {
    return undefined;
  }
}

export function matcher(options: FilterOptions): (line: AuditLine) => boolean {
  const wanted = Object.entries(FIELDS).flatMap(([option, fields]) => {
    const value = options[option as keyof typeof FIELDS];
    return value === undefined ? [] : [{ fields, value }];
  });
  const { from = -Infinity, to = Infinity } = options;
  const timed = options.from !== undefined || options.to !== undefined;
  return (line) => {
    if (!wanted.every(({ fields, value }) => fields.some((field) => line[field] === value))) return false;
    if (!timed) return true;
    const at = Date.parse(line.time);
    return at >= from && at < to;
  };
}

/** What any line that can match has in its text: it spares most lines of a large file their parsing. */
export function needles(options: FilterOptions): string[] {
  return Object.keys(FIELDS).flatMap((option) => {
    const value = options[option as keyof typeof FIELDS];
    return value === undefined ? [] : [JSON.stringify(value)];
  });
}

export const HEADINGS = ['TIME', 'EVENT', 'OUTCOME', 'TENANT', 'KEY', 'DOOR', 'API', 'ADDRESS', 'ERROR'];

export function cells(line: AuditLine): string[] {
  const text = (...names: string[]): string => {
    const value = names.map((name) => line[name]).find((one) => one !== undefined);
    return typeof value === 'string' ? printable(value) : value === undefined ? '-' : printable(JSON.stringify(value));
  };
  return [
    text('time'),
    text('event'),
    text('outcome'),
    text('tenant', 'token_tenant'),
    text('key_id', 'trust', 'accessor'),
    text('door'),
    text('api'),
    text('address'),
    text('error', 'refusals'),
  ];
}

/** A client's own text must not steer a terminal. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 200);
}
