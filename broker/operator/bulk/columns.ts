import { z } from 'zod';
import { quotaPart } from '#broker/authorization/documents.ts';
import { formatLimits, limitsDocument, parseLimits } from '#broker/rate-limit/limits.ts';
import type { Limits } from '#broker/rate-limit/limits.ts';

/** A tenant as files of tenants have it: names and units as in `postern tenant show --json`. */
export const tenantRecord = z.strictObject({
  tenant: z.string(),
  grants: z.array(z.strictObject({ api: z.string(), scopes: z.array(z.string()).default([]) })).optional(),
  default_api: z.string().nullish(),
  introspects: z.array(z.string()).optional(),
  /** APIs whose token is kept fresh in KV. */
  publish: z.array(z.string()).optional(),
  organization: z.string().nullish(),
  claims: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.array(z.string())])).optional(),
  cidrs: z.array(z.string()).optional(),
  /** Seconds. */
  token_ttl: z.number().optional(),
  secret_id_ttl: z.number().optional(),
  secret_id_num_uses: z.number().optional(),
  /** Within what its people make keys of their own. */
  self_service: z
    .strictObject({
      max_ttl: z.number().int().min(60).max(31_536_000).default(7_776_000),
      keys_per_user: z.number().int().min(1).max(1_000).default(10),
      keys: z.number().int().min(1).max(10_000).default(1_000),
    })
    .nullish(),
  /** How often it may ask for a token. */
  limits: limitsDocument.nullish(),
  /** Its part of the tokens that Auth0 counts. */
  quota: quotaPart.nullish(),
  disabled: z.boolean().optional(),
  trusts: z
    .array(
      z.strictObject({
        name: z.string(),
        issuer: z.string(),
        audience: z.string(),
        subject: z.string().nullish(),
        subject_pattern: z.string().nullish(),
        claims: z.record(z.string(), z.string()).optional(),
        scopes: z.array(z.string()).nullish(),
        cidrs: z.array(z.string()).optional(),
      }),
    )
    .optional(),
  /** A credential to issue with it. */
  issue: z.enum(['key', 'secret_id']).nullish(),
  /** What that credential is called. */
  credential: z.string().nullish(),
});

export type TenantRecord = z.infer<typeof tenantRecord>;
export type Column = keyof TenantRecord;

export const COLUMNS = Object.keys(tenantRecord.shape) as readonly Column[];

const LISTS: readonly string[] = ['introspects', 'publish', 'cidrs'];
const NUMBERS: readonly string[] = ['token_ttl', 'secret_id_ttl', 'secret_id_num_uses'];

/** @throws {Error} in words, for one whose text can't be that column's */
export function fromCell(column: string, text: string): unknown {
  // What keeps a spreadsheet from calculating is no part of it.
  const cell = /^'[=+\-@\t\r＝＋－＠]/.test(text) ? text.slice(1) : text;
  if (NUMBERS.includes(column)) {
    if (!/^\d{1,10}$/.test(cell)) throw new Error(`${shown(cell)} is no whole number`);
    return Number(cell);
  }
  if (column === 'disabled') {
    const value = { true: true, yes: true, false: false, no: false }[cell.toLowerCase()];
    if (value === undefined) throw new Error(`${shown(cell)} is neither true nor false`);
    return value;
  }
  if (column === 'limits' && !cell.startsWith('{')) return parseLimits(cell);
  if (
    column === 'quota' ||
    column === 'limits' ||
    column === 'claims' ||
    column === 'self_service' ||
    column === 'trusts' ||
    cell.startsWith('[')
  ) {
    try {
      return JSON.parse(cell);
    } catch {
      throw new Error(`${shown(cell)} is no JSON`);
    }
  }
  if (LISTS.includes(column)) return cell.split(/[\s;,]+/).filter((one) => one !== '');
  if (column === 'grants')
    return cell
      .split(';')
      .filter((one) => one.trim() !== '')
      .map(grant);
  return cell;
}

/** `orders=read:orders write:orders` */
function grant(text: string): { api: string; scopes: string[] } {
  const [api = '', scopes] = [text.split('=', 1)[0]?.trim(), text.includes('=') ? text.slice(text.indexOf('=') + 1) : undefined];
  if (api === '' || scopes === undefined)
    throw new Error(`${shown(text)} is no grant: write api=scope scope, several parted by ";", and \`api=\` for one without scopes`);
  return { api, scopes: scopes.split(/[\s,]+/).filter((scope) => scope !== '') };
}

export function toCell(column: Column, value: TenantRecord[Column]): string {
  if (value === undefined || value === null || (Array.isArray(value) && value.length === 0)) return '';
  if (column === 'grants') {
    const grants = value as NonNullable<TenantRecord['grants']>;
    if (grants.some(({ scopes }) => scopes.some((scope) => /[;,]/.test(scope)))) return JSON.stringify(grants);
    return grants.map(({ api, scopes }) => `${api}=${scopes.join(' ')}`).join(';');
  }
  if (column === 'limits') return formatLimits(value as Limits);
  if (LISTS.includes(column)) return (value as string[]).join(' ');
  if (typeof value === 'object') return Object.keys(value).length === 0 ? '' : JSON.stringify(value);
  return String(value);
}

const shown = (text: string): string => JSON.stringify(text.trim().slice(0, 60));
