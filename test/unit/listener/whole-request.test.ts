import { createServer } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { Socket } from 'node:net';
import { duplexPair } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { wholeRequest } from '#broker/listener/whole-request.ts';

const socket = new Socket();
const read = (text: string) => wholeRequest(Buffer.from(text, 'latin1'), socket);

const FORM = 'grant_type=client_credentials&client_id=a&client_secret=b';
const POST = [
  'POST /oauth/token HTTP/1.1',
  'Host: broker.example.com:8080',
  'Content-Type: application/x-www-form-urlencoded',
  `Content-Length: ${FORM.length}`,
];
const request = (lines: readonly string[], body = FORM): string => `${lines.join('\r\n')}\r\n\r\n${body}`;

describe('a request of which all is in one piece', () => {
  it('is recognised as what it is', () => {
    const whole = read(request([...POST, 'connection: keep-alive', 'X-Any_Thing:\t a b\t ', 'Accept:']));
    expect(whole).toMatchObject({ method: 'POST', url: '/oauth/token', complete: true });
    expect(whole?.headers).toEqual({
      host: 'broker.example.com:8080',
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': String(FORM.length),
      connection: 'keep-alive',
      'x-any_thing': 'a b',
      accept: '',
    });
    expect(whole?.takeBody().toString()).toBe(FORM);
  });

  it('gives its body once: it is not to live as long as the request', () => {
    const whole = read(request(POST));
    whole?.takeBody();
    expect(whole?.takeBody()).toHaveLength(0);
  });

  it.each([
    ['without a body', 'GET /verify?audience=x HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['with a length of nothing', 'GET /verify HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n'],
  ])('may be %s', (_, text) => expect(read(text)?.takeBody()).toHaveLength(0));
});

const with_ = (...lines: string[]): string => request([...POST, ...lines]);
const first = (line: string): string => request([line, ...POST.slice(1)]);

describe("is Node's parser's", () => {
  it.each<[string, string]>([
    ['half a head', request(POST).slice(0, 60)],
    ['a body that is not all here', request(POST).slice(0, -1)],
    ['more than a request', `${request(POST)}G`],
    ['two requests', request(POST).repeat(2)],
    ['a body without a length', request(POST.slice(0, 3))],
    ['a length twice', with_(`Content-Length: ${FORM.length}`)],
    ['a length as a list', request([...POST.slice(0, 3), `Content-Length: ${FORM.length}, ${FORM.length}`])],
    ['a length with a sign', request([...POST.slice(0, 3), `Content-Length: +${FORM.length}`])],
    ['a length with a nought before it', request([...POST.slice(0, 3), `Content-Length: 0${FORM.length}`])],
    ['a length in hexadecimal', request([...POST.slice(0, 3), `Content-Length: 0x${FORM.length.toString(16)}`])],
    ['a transfer coding', with_('Transfer-Encoding: chunked')],
    ['a transfer coding of no name', with_('transfer-encoding:')],
    ['a trailer', with_('Trailer: x')],
    ['an expectation', with_('Expect: 100-continue')],
    ['an upgrade', with_('Upgrade: h2c', 'Connection: Upgrade')],
    ['a connection that is to close', with_('Connection: close')],
    ['a connection that is to close, among others', with_('Connection: keep-alive, close')],
    ["a proxy's connection", with_('Proxy-Connection: close')],
    ['no Host', request([POST[0]!, ...POST.slice(2)])],
    ['two Hosts', with_('Host: b')],
    ['two Hosts in a line', request([POST[0]!, 'Host: a, b', ...POST.slice(2)])],
    ['a header twice', with_('Authorization: Basic eDp5', 'authorization: Bearer z')],
    ['a folded line', with_('X-A: b', ' c')],
    ['a blank before the colon', with_('X-A : b')],
    ['no name', with_(': b')],
    ['no colon', with_('X-A')],
    ['a name that is no token', with_('X(A): b')],
    ['a name of every object', with_('__proto__: b')],
    ['a line that ends in LF', `${POST.join('\r\n')}\nX-A: b\r\n\r\n${FORM}`],
    ['a CR within a line', with_('X-A: b\rX-B: c')],
    ['a NUL', with_('X-A: \0')],
    ['what is not ASCII', with_('X-A: \u00e4')],
    ['HTTP/1.0', first('POST /oauth/token HTTP/1.0')],
    ['HTTP/2.0', first('POST /oauth/token HTTP/2.0')],
    ['another method', first('PUT /oauth/token HTTP/1.1')],
    ['a method in small letters', first('post /oauth/token HTTP/1.1')],
    ['an absolute target', first('POST http://a/oauth/token HTTP/1.1')],
    ['a fragment', first('POST /oauth/token#a HTTP/1.1')],
    ['two blanks', first('POST  /oauth/token HTTP/1.1')],
    ['an empty line before it', `\r\n${request(POST)}`],
    ['a large head', with_(`X-A: ${'b'.repeat(4096)}`)],
  ])('%s', (_, text) => expect(read(text)).toBeUndefined());
});

interface Parsed {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** What Node's own parser makes of a piece and of a request that follows it, by the settings of our doors. */
async function nodeReads(piece: Buffer): Promise<Parsed[]> {
  const [ours, theirs] = duplexPair();
  const parsed: Promise<Parsed>[] = [];
  const server = createServer({ joinDuplicateHeaders: true, requireHostHeader: false, maxHeaderSize: 8192 }, (request, response) => {
    const { method, url, headers } = request;
    parsed.push(buffer(request).then((body) => ({ method, url, headers, body: body.toString('latin1') })));
    response.end();
  });
  server.on('clientError', () => ours.destroy());
  server.emit('connection', ours);
  theirs.on('error', () => {}).resume();
  theirs.write(piece);
  theirs.write(NEXT);
  await new Promise((resolve) => theirs.end(resolve));
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
  const all = await Promise.allSettled(parsed);
  theirs.destroy();
  ours.destroy();
  server.close();
  return all.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
}

const NEXT = 'GET /next HTTP/1.1\r\nHost: next\r\n\r\n';

/** Mostly usual, so that a fifth of the pieces is recognised. */
const often = <T>(usual: fc.Arbitrary<T>, odd: fc.Arbitrary<T>, weight = 30) =>
  fc.oneof({ arbitrary: usual, weight }, { arbitrary: odd, weight: 1 });
const NAME = often(
  fc.constantFrom('Accept', 'accept', 'User-Agent', 'X-Request-Id', 'X-Forwarded-For', 'Authorization', 'x_y', "X-!#$%&'*+.^`|~1"),
  fc.constantFrom(
    'Host',
    'Connection',
    'Content-Length',
    'Transfer-Encoding',
    'Expect',
    'Upgrade',
    'TE',
    'Cookie',
    'X A',
    '',
    '__proto__',
    'constructor',
  ),
);
const VALUE = often(
  fc.constantFrom('*/*', '', ' a\tb ', 'a, b', 'keep-alive', '1', ':', '"x"'),
  fc.constantFrom('close', 'chunked', '100-continue', 'a\nb', 'a\rb', '\u00e9', '\x7f', '\0'),
);
const HEADER = fc.tuple(NAME, fc.constantFrom(':', ': ', ':\t', ':  '), VALUE).map((parts) => parts.join(''));
const BODY = fc.constantFrom('', 'a=1', FORM, 'x'.repeat(300), '\r\n\r\n', NEXT);
const PIECE = fc
  .record({
    line: fc.tuple(
      often(fc.constantFrom('GET', 'POST'), fc.constantFrom('PUT', 'get', 'HEAD', 'CONNECT', 'PRI')),
      often(fc.constantFrom(' '), fc.constantFrom('  ', '\t', '')),
      often(
        fc.constantFrom('/oauth/token', '/verify', '/verify?a=b%20c', '/"<>\\^`{|}', '//a/../b;c'),
        fc.constantFrom('*', 'http://a/b', '/#', '/\u00e9', ''),
      ),
      often(fc.constantFrom(' HTTP/1.1'), fc.constantFrom(' HTTP/1.0', ' HTTP/1.2', ' http/1.1', '')),
    ),
    host: often(fc.constantFrom('Host: a', 'host: a:1'), fc.constantFrom('Host: a, b', 'Host:', 'X: y')),
    body: BODY,
    length: often(fc.constantFrom(0), fc.constantFrom(-1, 1, 5)),
    headers: fc.array(HEADER, { maxLength: 5 }),
    end: often(fc.constantFrom('\r\n'), fc.constantFrom('\n', '\r', '\r\n '), 30),
    change: fc.option(fc.tuple(fc.nat(), fc.nat({ max: 2 }), fc.nat({ max: 255 })), { freq: 3 }),
  })
  .map(({ line, host, body, length, headers, end, change }) => {
    const lines = [line.join(''), host, ...(body === '' ? [] : [`Content-Length: ${body.length + length}`]), ...headers];
    const text = `${lines.join(end)}${end}${end}${body}`;
    if (change === null) return Buffer.from(text, 'latin1');
    const [at, cut, code] = [change[0] % text.length, change[1], change[2]];
    return Buffer.from(text.slice(0, at) + String.fromCodePoint(code) + text.slice(at + cut), 'latin1');
  });

it("is never anything but what Node's parser makes of it, and ends where that lets it end", async () => {
  let recognised = 0;
  let played = 0;
  await fc.assert(
    fc.asyncProperty(PIECE, async (piece) => {
      played++;
      const whole = wholeRequest(piece, socket);
      if (whole === undefined) return;
      recognised++;
      const { method, url, headers } = whole;
      const next = { method: 'GET', url: '/next', headers: { host: 'next' }, body: '' };
      expect(await nodeReads(piece)).toEqual([{ method, url, headers, body: whole.takeBody().toString('latin1') }, next]);
    }),
    { numRuns: 5_000 },
  );
  expect(recognised / played).toBeGreaterThan(0.15);
}, 60_000);
