import { parse } from 'csv-parse/sync';
import { stringify } from 'csv-stringify/sync';
import { PosternError } from '#broker/error.ts';
import { COLUMNS, fromCell, toCell } from './columns.ts';
import type { TenantRecord } from './columns.ts';
import { nearest } from './nearest.ts';

export type Format = 'csv' | 'json';

/** One entry of a file, not yet looked at. */
export interface Entry {
  /** Of a CSV file the line, of a JSON file which entry; from 1. */
  readonly at: number;
  readonly record: Readonly<Record<string, unknown>>;
  /** What of it can't be read, in words. */
  readonly faults: readonly string[];
}

/** Bytes: 10,000 tenants with ten grants each are some 10 MB. */
export const MOST_BYTES = 64 * 1024 * 1024;

/** @throws {PosternError} invalid_request, with the line */
export function readTable(bytes: Uint8Array, format?: Format): { entries: Entry[]; format: Format } {
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff))
    throw wrong('The file is UTF-16', 'Save it as "CSV UTF-8".');
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw wrong('The file is not UTF-8', 'Save it as "CSV UTF-8".');
  }
  if (text.includes('\0')) throw wrong('The file holds a NUL character, so it is no text', 'Give a CSV or JSON file.');
  if (text.trim() === '') throw wrong('The file is empty', `Its first line names the columns: ${COLUMNS.join(', ')}.`);
  const is = format ?? (/^\s*[[{]/.test(text) ? 'json' : 'csv');
  return { entries: is === 'json' ? readJson(text) : readCsv(text), format: is };
}

function readCsv(text: string): Entry[] {
  const first = text.split(/\r\n|\r|\n/, 1)[0] ?? '';
  const delimiter = first.includes(',') ? ',' : (['\t', ';'].find((one) => first.includes(one)) ?? ',');
  type Parsed = { record: string[]; info: { lines: number } };
  let parsed: Parsed[];
  try {
    parsed = parse(text, { bom: true, delimiter, info: true, relax_column_count: true, skip_empty_lines: true }) as unknown as Parsed[];
  } catch (error) {
    const { code, lines } = error as { code?: string; lines?: number };
    const why = code === 'CSV_QUOTE_NOT_CLOSED' ? 'a quote is opened and never closed' : 'a quote stands where none may';
    throw wrong(
      `Line ${lines ?? '?'} is no CSV: ${why}`,
      'A cell with a quote, a comma or a line break is put in quotes, and a quote in it is doubled.',
    );
  }
  const header = (parsed[0]?.record ?? []).map((name) => name.trim());
  requireColumns(header, 'Line 1');
  let before = parsed[0]?.info.lines ?? 1;
  return parsed.slice(1).flatMap(({ record, info }): Entry[] => {
    // A record may have several lines; blank ones before it count to it.
    const at = Math.max(before + 1, info.lines - record.join('').split('\n').length + 1);
    before = info.lines;
    if (record.every((cell) => cell.trim() === '')) return [];
    const faults = record.length === header.length ? [] : [`it has ${record.length} cells, and there are ${header.length} columns`];
    const values: Record<string, unknown> = {};
    for (const [column, name] of header.entries()) {
      const cell = record[column]?.trim() ?? '';
      if (cell === '') continue;
      try {
        values[name] = fromCell(name, cell);
      } catch (error) {
        faults.push(`${name}: ${(error as Error).message}`);
      }
    }
    return [{ at, record: values, faults }];
  });
}

function readJson(text: string): Entry[] {
  let document: unknown;
  try {
    document = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    const line = /line (\d+)/.exec(error instanceof Error ? error.message : '')?.[1];
    throw wrong(`The file is no JSON${line === undefined ? '' : `: line ${line}`}`, 'It is a list of tenants, or {"tenants": [...]}.');
  }
  const list = Array.isArray(document) ? document : (document as { tenants?: unknown } | null)?.tenants;
  if (!Array.isArray(list)) throw wrong('The file holds no list of tenants', 'It is a list of tenants, or {"tenants": [...]}.');
  return list.map((record: unknown, index) => {
    const at = index + 1;
    if (typeof record !== 'object' || record === null || Array.isArray(record)) return { at, record: {}, faults: ['it is no object'] };
    const unknown = Object.keys(record).filter((name) => !(COLUMNS as readonly string[]).includes(name));
    return { at, record: record as Record<string, unknown>, faults: unknown.map((name) => unknownName(name, 'field')) };
  });
}

/** @throws {PosternError} invalid_request */
function requireColumns(header: readonly string[], where: string): void {
  const faults = header.flatMap((name, at) => {
    if (header.indexOf(name) !== at) return [`the column ${JSON.stringify(name)} stands twice`];
    return (COLUMNS as readonly string[]).includes(name) ? [] : [unknownName(name, 'column')];
  });
  if (!header.includes('tenant')) faults.push('there is no column "tenant"');
  if (faults.length > 0) throw wrong(`${where}: ${faults.join('; ')}`, `Columns are ${COLUMNS.join(', ')}.`);
}

function unknownName(name: string, what: string): string {
  const near = nearest(name, COLUMNS);
  return `there is no ${what} ${JSON.stringify(name.slice(0, 60))}${near === undefined ? '' : `; do you mean "${near}"?`}`;
}

/** The first line of a file that `readTable` reads. */
export function csvHeader(): string {
  return csvLine(COLUMNS);
}

export function csvRow(record: TenantRecord): string {
  return csvLine(COLUMNS.map((column) => toCell(column, record[column])));
}

/** A spreadsheet takes no cell for a formula. */
function csvLine(cells: readonly string[]): string {
  return stringify([[...cells]], { escape_formulas: true });
}

function wrong(message: string, detail: string): PosternError {
  return new PosternError('invalid_request', message, { detail: `${detail} Nothing was changed.` });
}
