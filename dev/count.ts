import { readFile } from 'node:fs/promises';

/** Paths of what a broker asks of Vault whatever its clients do. */
export const ANYWAY =
  /^(postern\/(data\/state\/(epoch|revocations|ended|departures|catalog)|metadata\/state\/quota\/.*)|auth\/token\/renew-self)$/;

/**
 * Requests that Vault has answered so far, by its own audit device, which writes before Vault
 * answers. Left out, since they come whether anybody asks for a token or not: the broker's look at the five documents of `state/`
 * each second, its look at the ledger of tokens, and the renewal of its own token.
 */
export async function vaultRequests(auditFile: string): Promise<number> {
  return (await requestsTo(auditFile)).length;
}

/** The same by what was asked, e.g. `update auth/approle/login`, oldest first. */
export async function requestsTo(auditFile: string): Promise<string[]> {
  const lines = (await readFile(auditFile, 'utf8')).split('\n').filter(Boolean);
  return lines
    .map((line) => JSON.parse(line) as { type: string; request?: { operation?: string; path?: string } })
    .filter(({ type, request }) => type === 'request' && !ANYWAY.test(request?.path ?? ''))
    .map(({ request }) => `${request?.operation} ${request?.path}`);
}

/** An event of the broker's audit log. */
export interface AuditEvent {
  event: string;
  outcome: string;
  tenant?: string;
  api?: string;
  /** `memory`, `store`, `auth0` or `transit`. */
  source?: string;
  token_sha256?: string;
}

/** The broker's audit events of exchanges so far, oldest first. */
export async function auditEvents(brokerLog: string): Promise<AuditEvent[]> {
  const events: AuditEvent[] = [];
  for (const line of (await readFile(brokerLog, 'utf8')).split('\n')) {
    if (!line.includes('"token.exchange"')) continue;
    events.push(JSON.parse(line) as AuditEvent);
  }
  return events;
}
