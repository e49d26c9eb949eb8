import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { PAGES } from './generated/pages.ts';

export interface ConsoleOptions {
  /** With its trailing slash: where people log in. */
  issuer: string;
  /** Of the Auth0 application of type single-page that stands for the console; public. */
  clientId: string;
  /** Of the Auth0 API that stands for the admin API. */
  audience: string;
  /** Of the product. */
  version: string;
}

const ROOT = '/console/';
const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
  txt: 'text/plain; charset=utf-8',
  json: 'application/json',
};

/** The paths below which the console answers; all take GET and HEAD. */
export const CONSOLE_PATHS: readonly string[] = [
  '/',
  '/console',
  ROOT,
  ...[...Object.keys(PAGES), 'config.json'].map((name) => ROOT + name),
];

/**
 * The pages of the console: files, and what a page must know to log somebody in. They are for everybody who reaches the admin listener and
 * hold no secret; all that they show and do comes from the admin API with the access token of whoever logged in.
 */
export function serveConsole(app: FastifyInstance, { issuer, clientId, audience, version }: ConsoleOptions): void {
  const headers = headersOf(issuer);
  const config = JSON.stringify({ issuer, client_id: clientId, audience, version });
  for (const [name, text] of Object.entries({ ...PAGES, 'config.json': config })) {
    const send = file(name, text, headers);
    app.get(ROOT + name, send);
    if (name === 'index.html') app.get(ROOT, send);
  }
  for (const path of ['/', '/console'])
    app.get(path, (_request, reply) => reply.headers(headers).code(302).header('Location', ROOT).send());
}

function file(name: string, text: string, headers: Readonly<Record<string, string>>) {
  const plain = Buffer.from(text);
  // Of the first who takes it: a broker's start doesn't wait for it.
  let zipped: Buffer | undefined;
  const etag = `"${createHash('sha256').update(plain).digest('base64url')}"`;
  const type = TYPES[name.slice(name.lastIndexOf('.') + 1)] ?? 'application/octet-stream';
  return (request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    void reply.headers(headers).headers({ 'Cache-Control': 'no-cache', ETag: etag, Vary: 'Accept-Encoding' }).type(type);
    if (request.headers['if-none-match']?.includes(etag)) return reply.code(304).send();
    if (!/\bgzip\b(?!\s*;\s*q=0(\.0*)?\b)/i.test(request.headers['accept-encoding'] ?? '')) return reply.send(plain);
    return reply.header('Content-Encoding', 'gzip').send((zipped ??= gzipSync(plain, { level: 9 })));
  };
}

/** Content Security Policy Level 3: this listener's own files, this API, the issuer's token endpoint, and nothing else. */
function headersOf(issuer: string): Readonly<Record<string, string>> {
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    `connect-src 'self' ${new URL(issuer).origin}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ];
  return {
    'Content-Security-Policy': policy.join('; '),
    'X-Frame-Options': 'DENY',
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Permissions-Policy': 'camera=(), geolocation=(), microphone=()',
  };
}
