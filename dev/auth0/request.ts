import type { IncomingHttpHeaders } from 'node:http';
import { invalidRequest, unauthorized } from './refusal.ts';

export interface TokenRequest {
  grantType: string;
  clientId: string;
  /** Empty: a public client's request, which has none. */
  clientSecret: string;
  /** All parameters by name, credentials taken out: what Auth0 shows an Action as `event.request.body`. */
  parameters: Record<string, string>;
}

/**
 * Reads `/oauth/token`: form or JSON, credentials in the body or as HTTP Basic.
 * @throws Refusal as Auth0 would answer
 */
export function readTokenRequest(headers: IncomingHttpHeaders, raw: Buffer): TokenRequest {
  const parameters = parseBody(headers['content-type'] ?? '', raw.toString('utf8'));
  const basic = parseBasic(headers.authorization);
  const { client_id: postId, client_secret: postSecret, ...rest } = parameters;
  if (basic && postSecret !== undefined) throw invalidRequest('Multiple client authentication methods are not allowed');
  const grantType = rest['grant_type'];
  if (grantType === undefined) throw invalidRequest('Missing required parameter: grant_type');
  const clientId = basic?.id ?? postId;
  const clientSecret = basic?.secret ?? postSecret ?? (rest['code_verifier'] === undefined ? undefined : '');
  if (clientId === undefined || clientSecret === undefined) throw unauthorized();
  return { grantType, clientId, clientSecret, parameters: rest };
}

function parseBody(contentType: string, text: string): Record<string, string> {
  const type = contentType.split(';', 1)[0]?.trim().toLowerCase();
  if (type === 'application/x-www-form-urlencoded') {
    const search = new URLSearchParams(text);
    const names = [...search.keys()];
    if (new Set(names).size !== names.length) throw invalidRequest('Duplicate parameters are not allowed');
    return Object.fromEntries(search);
  }
  if (type === 'application/json') {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw invalidRequest('Invalid request payload JSON format');
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalidRequest('Invalid request payload');
    for (const [name, member] of Object.entries(value)) {
      if (typeof member !== 'string') throw invalidRequest(`Parameter ${name} must be a string`);
    }
    return value as Record<string, string>;
  }
  return {}; // Auth0 reads nothing else, so every parameter is missing
}

function parseBasic(header: string | undefined): { id: string; secret: string } | undefined {
  const encoded = /^basic\s+(\S+)$/i.exec(header ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 0) throw unauthorized();
  try {
    // RFC 6749 §2.3.1: both halves are form-encoded before Basic joins them.
    const decode = (part: string): string => decodeURIComponent(part.replaceAll('+', ' '));
    return { id: decode(text.slice(0, colon)), secret: decode(text.slice(colon + 1)) };
  } catch {
    throw unauthorized();
  }
}
