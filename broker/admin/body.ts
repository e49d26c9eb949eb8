import type { FastifyInstance } from 'fastify';
import { mediaTypeOf } from '#broker/media-type.ts';
import { Problem } from './problem.ts';

const UTF8 = new TextDecoder('utf-8', { fatal: true });
/** What JSON is in (RFC 8259 §8.1). */
const UTF8_NAMES: ReadonlySet<string> = new Set(['utf-8', 'utf8', 'us-ascii']);

/**
 * Bodies are JSON and nothing else. Where there is no content, its headers mean nothing: many clients send a Content-Type with every
 * request.
 */
export function readJsonBodies(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<Buffer>('*', { parseAs: 'buffer' }, (request, body, done) => {
    if (body.length === 0) return done(null, undefined);
    const { 'content-encoding': coding = 'identity', 'content-type': header } = request.headers;
    if (!/^(?:identity)?$/i.test(coding.trim()))
      return done(
        new Problem('unsupported-media-type', 'The body must not be compressed: send it without Content-Encoding', { accept: 'identity' }),
      );
    const { type, charsets = [] } = mediaTypeOf(header) ?? {};
    if (type !== 'application/json' || !charsets.every((charset) => UTF8_NAMES.has(charset)))
      return done(new Problem('unsupported-media-type', 'Content-Type must be application/json'));
    let text: string;
    try {
      text = UTF8.decode(body);
    } catch {
      return done(new Problem('malformed-request', 'The body is not valid UTF-8'));
    }
    void parse(request, text, done);
  });
}
