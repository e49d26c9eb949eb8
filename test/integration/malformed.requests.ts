import fc from 'fast-check';
import type { Credential } from '#test/fixture/broker.ts';
import type { Ending } from '#test/fixture/wire.ts';

/** One request that must not get a token, and what of it a client could be told. */
export class Attempt {
  readonly fault: string;
  readonly bytes: Buffer;
  readonly ending: Ending;
  readonly cuts: readonly number[];
  readonly head: boolean;
  /** A whole request, which must be answered; of a part, silence is an answer too. */
  readonly complete: boolean;
  /** The same for an ordinary HTTP client that keeps its connections, where one can send it. */
  readonly ordinary: { headers: string[]; body: Buffer } | undefined;
  readonly #secret: string;

  constructor(
    fault: string,
    bytes: Buffer,
    secret: string,
    more: { ending?: Ending; cuts?: readonly number[]; head?: boolean; complete?: boolean; ordinary?: Attempt['ordinary'] } = {},
  ) {
    this.fault = fault;
    this.bytes = bytes;
    this.ending = more.ending ?? 'wait';
    this.cuts = more.cuts ?? [];
    this.head = more.head ?? false;
    this.complete = more.complete ?? true;
    this.ordinary = more.ordinary;
    this.#secret = secret;
  }

  /** What is shown of a counter-example. */
  [fc.toStringMethod](): string {
    const text = this.bytes
      .subarray(0, 2_000)
      .toString('latin1')
      .replaceAll(this.#secret, '<secret>')
      .replaceAll(/(Basic *)[A-Za-z0-9+/=]{20,}/g, '$1<credential>');
    return `${this.fault}, ${this.ordinary ? 'by an HTTP client' : `then ${this.ending}`}: ${JSON.stringify(text)}`;
  }
}

type Pairs = readonly (readonly [string, string])[];

interface Parts {
  method?: string;
  target?: string;
  version?: string;
  /** Header lines, without the Content-Length that is reckoned where there is none. */
  headers?: readonly string[];
  body?: Buffer | string;
  /** Leaves out the Content-Length. */
  unframed?: boolean;
}

const FORM = 'Content-Type: application/x-www-form-urlencoded';
const JSON_TYPE = 'Content-Type: application/json';
const HOST = 'Host: localhost';
const KNOWN = ['grant_type', 'client_id', 'client_secret', 'audience', 'scope', 'organization'];
const OURS = ['/oauth/token', '/.well-known/jwks.json', '/.well-known/openid-configuration', '/livez', '/readyz'];

export function wholeRequest({
  method = 'POST',
  target = '/oauth/token',
  version = 'HTTP/1.1',
  headers = [HOST, FORM],
  body = '',
  unframed = false,
}: Parts): Buffer {
  const content = typeof body === 'string' ? Buffer.from(body, 'utf8') : body;
  const lines = [`${method} ${target} ${version}`, ...headers, ...(unframed ? [] : [`Content-Length: ${content.length}`])];
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), content]);
}

export function formOf(pairs: Pairs): string {
  return pairs.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&');
}

/** The request that all the others are made from; it gets a token. */
export function goodPairs({ client_id, client_secret }: Credential, audience: string): Pairs {
  return [
    ['grant_type', 'client_credentials'],
    ['client_id', client_id],
    ['client_secret', client_secret],
    ['audience', audience],
  ];
}

const basic = (id: string, secret: string): string => `Authorization: Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;

/** Places where a request can be cut when it is sent. */
const cuts = fc.oneof({ weight: 4, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.array(fc.nat(600), { maxLength: 4 }) });

/**
 * Requests with a fault of form: each is good but for one thing that no later step could mend, so that none may reach
 * Vault. A token for one of them, or a call to Vault, means that a check is missing.
 */
export function malformedRequests(credential: Credential, audience: string): fc.Arbitrary<Attempt> {
  const pairs = goodPairs(credential, audience);
  const form = formOf(pairs);
  const object = Object.fromEntries(pairs);
  const { client_id: id, client_secret: secret } = credential;
  const unauthenticated = formOf(pairs.filter(([name]) => !name.startsWith('client_')));

  const attempt = (fault: string, parts: Parts, more: { head?: boolean } = {}): fc.Arbitrary<Attempt> =>
    cuts.map((places) => new Attempt(fault, wholeRequest(parts), secret, { cuts: places, ...more }));
  const withBody = (fault: string, body: Buffer | string, type = FORM, headers: readonly string[] = []): fc.Arbitrary<Attempt> =>
    fc.tuple(cuts, fc.boolean()).map(([places, ordinary]) => {
      const lines = [type, ...headers];
      const flat = lines.flatMap((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]);
      return new Attempt(fault, wholeRequest({ headers: [HOST, ...lines], body }), secret, {
        cuts: places,
        ...(ordinary ? { ordinary: { headers: flat, body: Buffer.from(body as string) } } : {}),
      });
    });
  const raw = (fault: string, bytes: Buffer | string, more: { ending?: Ending; complete?: boolean } = {}): fc.Arbitrary<Attempt> =>
    cuts.map(
      (places) => new Attempt(fault, typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, secret, { cuts: places, ...more }),
    );

  const index = fc.nat(pairs.length - 1);
  const text = fc.string({ unit: 'binary', maxLength: 40 });
  const token = fc.string({ unit: fc.constantFrom('a', 'b', 'q', 'z', '-'), minLength: 1, maxLength: 20 });
  const at = (i: number): readonly [string, string] => pairs[i] ?? ['', ''];
  const replaced = (i: number, value: string): string =>
    pairs.map(([name, old], n) => `${name}=${n === i ? value : encodeURIComponent(old)}`).join('&');
  const spoiled = (value: string, place: number, bad: string): string =>
    `${value.slice(0, place % (value.length + 1))}${bad}${value.slice(place % (value.length + 1))}`;

  // --- the body of a form
  const repeated = fc.tuple(index, fc.constantFrom('same', 'other', 'empty', 'escaped'), fc.nat(pairs.length)).chain(([i, how, place]) => {
    const [name, value] = at(i);
    const again = {
      same: `${name}=${encodeURIComponent(value)}`,
      other: `${name}=x`,
      empty: name,
      escaped: `%${name.charCodeAt(0).toString(16)}${name.slice(1)}=${encodeURIComponent(value)}`,
    }[how];
    const list = form.split('&');
    return withBody(`${name} twice (${how})`, [...list.slice(0, place), again, ...list.slice(place)].join('&'));
  });
  const badEscape = fc
    .tuple(
      index,
      fc.nat(60),
      fc.constantFrom('%g', '%4g', '%zz', '%%', '%u0041', '%ff', '%c0%af', '%ed%a0%80', '%f8%88%80%80%80', '%e2%82', '%80'),
    )
    .chain(([i, place, bad]) => withBody(`escape ${bad} in ${at(i)[0]}`, replaced(i, spoiled(at(i)[1].replaceAll('%', ''), place, bad))));
  const nul = fc
    .tuple(index, fc.nat(60), fc.constantFrom('%00', '\0'))
    .chain(([i, place, bad]) => withBody(`NUL in ${at(i)[0]}`, replaced(i, spoiled(at(i)[1], place, bad))));
  const invalidUtf8 = fc
    .tuple(index, fc.constantFrom([0xff], [0xc3], [0xe2, 0x82], [0xf0, 0x9f, 0x98], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0x80]), fc.boolean())
    .chain(([i, bytes, json]) => {
      const before = Buffer.from(json ? JSON.stringify(object).slice(0, -2) : replaced(i, ''));
      return json
        ? withBody('invalid UTF-8 in JSON', Buffer.concat([before, Buffer.from(bytes), Buffer.from('"}')]), JSON_TYPE)
        : withBody('invalid UTF-8 in a form', Buffer.concat([before, Buffer.from('&note='), Buffer.from(bytes)]));
    });
  const missing = fc.constantFrom(0, 1, 2).chain((i) => withBody(`no ${at(i)[0]}`, formOf(pairs.filter((_, n) => n !== i))));
  const otherGrant = fc
    .oneof(
      fc.constantFrom(
        'password',
        'authorization_code',
        'refresh_token',
        'implicit',
        'urn:ietf:params:oauth:grant-type:jwt-bearer',
        'CLIENT_CREDENTIALS',
        'client_credentials ',
        ' client_credentials',
        'client_credentials,client_credentials',
      ),
      text.filter((value) => value !== 'client_credentials' && !value.includes('\0')),
    )
    .chain((grant) => withBody('another grant_type', replaced(0, encodeURIComponent(grant))));
  const impossibleCredential = fc
    .tuple(
      fc.constantFrom(1, 2),
      fc.constantFrom(' ', '\t', '\n', '\r\n', '\u00a0', 'é', '\u{1f600}', '\u202e', 'x'.repeat(600)),
      fc.constantFrom('before', 'after', 'within'),
    )
    .chain(([i, bad, where]) => {
      const [name, value] = at(i);
      const padded = { before: bad + value, after: value + bad, within: spoiled(value, 5, bad) }[where];
      return withBody(`${name} that is impossible (${JSON.stringify(bad.slice(0, 4))} ${where})`, replaced(i, encodeURIComponent(padded)));
    });
  const noForm = fc.uint8Array({ minLength: 1, maxLength: 2_000 }).chain((bytes) => withBody('bytes for a form', Buffer.from(bytes)));

  // --- the body of JSON
  const jsonText = JSON.stringify(object);
  const cutJson = fc.nat(jsonText.length - 1).chain((length) => withBody('JSON cut off', jsonText.slice(0, length), JSON_TYPE));
  const wrongType = fc
    .tuple(
      fc.constantFrom(...KNOWN),
      fc.oneof(
        fc.integer(),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.boolean(),
        fc.array(fc.string(), { maxLength: 3 }),
        fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }),
      ),
    )
    .chain(([name, value]) => withBody(`${name} that is ${typeof value}`, JSON.stringify({ ...object, [name]: value }), JSON_TYPE));
  const noObject = fc
    .oneof(
      fc.constantFrom('null', 'true', '0', '""', '[]', '"client_credentials"', '{', '}', '{}}', '{}{}', '', ' ', 'undefined', '[{}]'),
      fc
        .jsonValue()
        .filter((value) => typeof value !== 'object' || value === null || Array.isArray(value))
        .map((value) => JSON.stringify(value)),
    )
    .chain((body) => withBody('JSON that is not an object', body, JSON_TYPE));
  const deep = fc
    .tuple(fc.integer({ min: 1, max: 7_900 }), fc.constantFrom<readonly string[]>(['[', ']'], ['{"a":', '}']), fc.boolean())
    .map(([depth, [open = '', close = ''], closed]) => {
      const levels = Math.min(depth, Math.floor(15_000 / (open.length + close.length)));
      return `{"grant_type":${open.repeat(levels)}${closed ? `0${close.repeat(levels)}` : ''}}`;
    })
    .chain((body) => withBody('deep JSON', body, JSON_TYPE));
  const repeatedJson = fc.tuple(index, fc.boolean(), fc.boolean()).chain(([i, escaped, first]) => {
    const [name, value] = at(i);
    const key = escaped ? `\\u00${name.charCodeAt(0).toString(16)}${name.slice(1)}` : name;
    const again = `"${key}":${JSON.stringify(value)}`;
    return withBody(`${name} twice in JSON`, first ? `{${again},${jsonText.slice(1)}` : `${jsonText.slice(0, -1)},${again}}`, JSON_TYPE);
  });
  const looseJson = fc
    .constantFrom(
      jsonText.replaceAll('"', "'"),
      `${jsonText.slice(0, -1)},}`,
      `/* */${jsonText}`,
      `${jsonText}x`,
      jsonText.replace('"client_credentials"', 'NaN'),
      jsonText.replace('client_credentials', 'client\ncredentials'),
      jsonText.replace(id, `${id}\\u0000`),
      `)]}',\n${jsonText}`,
      Buffer.from(jsonText, 'utf16le'),
    )
    .chain((body) => withBody('malformed JSON', body, JSON_TYPE));

  // --- size, type and framing of the body
  const large = fc.tuple(fc.integer({ min: 16_385, max: 200_000 }), fc.boolean(), fc.boolean()).chain(([size, chunked, json]) => {
    const body = json ? `{"pad":"${'x'.repeat(size)}",${jsonText.slice(1)}` : `pad=${'x'.repeat(size)}&${form}`;
    const type = json ? JSON_TYPE : FORM;
    if (!chunked) return withBody(`${size} bytes and more`, body, type);
    return attempt(`${size} bytes and more in chunks`, {
      headers: [HOST, type, 'Transfer-Encoding: chunked'],
      unframed: true,
      body: `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    });
  });
  const declared = fc.constantFrom('16385', '99999999', '9007199254740993', '18446744073709551616').chain((length) =>
    raw(`Content-Length ${length}`, wholeRequest({ headers: [HOST, FORM, `Content-Length: ${length}`], unframed: true, body: form }), {
      ending: 'fin',
    }),
  );
  const contentType = fc
    .oneof(
      fc.constantFrom(
        'text/plain',
        'multipart/form-data; boundary=x',
        'application/xml',
        'application/json; charset=iso-8859-1',
        'application/json-patch+json',
        'application/jwt',
        ', application/json',
        'application/x-www-form-urlencoded, application/json',
        'application',
        '/',
        '',
      ),
      fc.tuple(token, token).map(([a, b]) => `${a}/x-${b}`),
    )
    .chain((type) => withBody(`Content-Type "${type}"`, form, `Content-Type: ${type}`));
  const noContentType = attempt('no Content-Type', { headers: [HOST], body: form });
  const swappedType = fc
    .constantFrom<readonly string[]>([form, JSON_TYPE], [jsonText, FORM])
    .chain(([body = '', type = '']) => withBody('the Content-Type of another body', body, type));
  const twoTypes = fc
    .constantFrom([FORM, JSON_TYPE], [FORM, 'Content-Type: text/plain'], [FORM, FORM])
    .chain((types) => attempt('two Content-Types', { headers: [HOST, ...types], body: form }));
  const framing = fc
    .constantFrom<readonly string[]>(
      ['Content-Length: 10', 'Transfer-Encoding: chunked'],
      ['Transfer-Encoding: chunked', 'Content-Length: 10'],
      [`Content-Length: ${form.length}`, 'Content-Length: 5'],
      ['Content-Length: -1'],
      ['Content-Length: +5'],
      ['Content-Length: 0x10'],
      ['Content-Length: 1e2'],
      ['Content-Length: 5, 6'],
      ['Content-Length: '],
      ['Transfer-Encoding: gzip'],
      ['Transfer-Encoding: chunked, gzip'],
      ['Transfer-Encoding: xchunked'],
      ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'],
      ['Transfer-Encoding : chunked'],
      ['Transfer-Encoding:\x0bchunked'],
    )
    .chain((lines) => {
      // Behind it a whole good request, which must not be taken for one.
      const smuggled = wholeRequest({ body: form });
      return raw(
        `framed by ${JSON.stringify(lines)}`,
        Buffer.concat([wholeRequest({ headers: [HOST, FORM, ...lines], unframed: true, body: `0\r\n\r\n` }), smuggled]),
        { ending: 'fin' },
      );
    });
  const badChunks = fc
    .constantFrom(
      'zz\r\n',
      '-1\r\n',
      '0x5\r\nabcde\r\n0\r\n\r\n',
      '5\r\nabcdefgh\r\n0\r\n\r\n',
      '5;x=\0\r\nabcde\r\n0\r\n\r\n',
      'ffffffffffffffffff\r\n',
      '5\nabcde\n0\n\n',
      `${form.length.toString(16)}\r\n${form}\r\n0\r\nX\0: y\r\n\r\n`,
      '\r\n',
    )
    .chain((body) =>
      raw('broken chunks', wholeRequest({ headers: [HOST, FORM, 'Transfer-Encoding: chunked'], unframed: true, body }), { ending: 'fin' }),
    );

  // --- who it says it is
  const twoMethods = fc
    .constantFrom(form, formOf(pairs.filter(([name]) => name !== 'client_id')))
    .chain((body) => withBody('Basic and post', body, FORM, [basic(id, secret)]));
  const twoNames = token.chain((other) => withBody('two client_ids', `${unauthenticated}&client_id=${other}`, FORM, [basic(id, secret)]));
  const twoHeaders = fc
    .constantFrom(
      [basic(id, secret), basic(id, secret)],
      [basic(id, secret), 'Authorization: Bearer x'],
      [basic('other', 'x'), basic(id, secret)],
    )
    .chain((lines) => withBody('two Authorization headers', unauthenticated, FORM, lines));
  const badBasic = fc
    .oneof(
      fc.constantFrom(
        'Basic',
        'Basic ',
        'Basic *',
        'Basic =',
        'Bearer x',
        'Digest username="x"',
        `Basic${Buffer.from(`${id}:${secret}`).toString('base64')}`,
        `Basic ${Buffer.from(id).toString('base64')}`,
        `Basic ${Buffer.from(`${id}:`).toString('base64')}`,
        `Basic ${Buffer.from(`:${secret}`).toString('base64')}`,
        `Basic ${Buffer.from(`${id}:%zz`).toString('base64')}`,
        `Basic ${Buffer.from(`${id}:${secret}\0`).toString('base64')}`,
        `Basic ${Buffer.from(`${id}: ${secret}`).toString('base64')}`,
        `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')} x`,
      ),
      fc
        .uint8Array({ maxLength: 60 })
        .filter((bytes) => !Buffer.from(bytes).includes(':'))
        .map((bytes) => `Basic ${Buffer.from(bytes).toString('base64')}`),
    )
    .chain((value) => withBody('malformed Authorization', unauthenticated, FORM, [`Authorization: ${value}`]));
  const assertion = token.chain((value) =>
    withBody(
      'a client_assertion',
      `${form}&client_assertion=${value}&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer`,
    ),
  );
  const inQuery = fc
    .oneof(
      fc.constantFrom('?', `?${form}`, `?client_id=${id}`, '?x', '?%00', '??'),
      text.map((value) => `?a=${encodeURIComponent(value.toWellFormed())}`),
    )
    .chain((query) => attempt('parameters in the URI', { target: `/oauth/token${query}`, body: form }));

  // --- the request line and the headers
  const method = fc
    .tuple(
      fc.constantFrom(
        'GET',
        'PUT',
        'DELETE',
        'PATCH',
        'OPTIONS',
        'HEAD',
        'TRACE',
        'PROPFIND',
        'MKCOL',
        'PURGE',
        'QUERY',
        'CONNECT',
        'post',
        'Post',
        'POSTX',
        'PO',
        'P\0ST',
        '',
      ),
      fc.constantFrom(...OURS),
    )
    .filter(([name, path]) => path === '/oauth/token' || !['GET', 'HEAD'].includes(name))
    .chain(([name, target]) => attempt(`${name} ${target}`, { method: name, target, body: form }, { head: name === 'HEAD' }));
  const postElsewhere = fc.constantFrom(...OURS.slice(1)).chain((target) => attempt(`POST ${target}`, { target, body: form }));
  const path = fc
    .oneof(
      fc.constantFrom(
        '//oauth/token',
        '/oauth/token/',
        '/oauth//token',
        '/OAUTH/TOKEN',
        '/oauth/./token',
        '/oauth/../oauth/token',
        '/%6fauth/token',
        '/oauth/token%00',
        '/oauth/token;x=1',
        '/oauth/token#x',
        '/oauth\\token',
        '*',
        'http://localhost/oauth//token',
        'http:///oauth/token',
        'ftp://localhost/oauth/token',
        'oauth/token',
        '/',
        '/.well-known/../oauth/token',
        `/${'a/'.repeat(2_000)}`,
        '/__proto__',
        '/constructor',
        '/v1/auth/approle/login',
      ),
      fc
        .array(fc.constantFrom('.', '..', 'oauth', 'token', '%2e', '%2f', '', 'v1', 'sys'), { minLength: 1, maxLength: 6 })
        .map((parts) => `/x/${parts.join('/')}`),
    )
    .chain((target) => attempt(`path ${target.slice(0, 40)}`, { target, body: form }));
  const version = fc
    .constantFrom('HTTP/2.0', 'HTTP/0.9', 'HTTP/1.9', 'HTTP/9.9', 'HTTP/1.', 'HTTP/11', 'HTTPS/1.1', 'http/1.1', '', 'HTTP/1.1 x')
    .chain((value) => attempt(`version "${value}"`, { version: value, body: form }));
  const noHost = fc
    .constantFrom([], [HOST, 'Host: elsewhere'], [HOST, HOST])
    .chain((lines) => attempt(`${lines.length} Hosts`, { headers: [...lines, FORM], body: form }));
  const headerLine = fc
    .oneof(
      fc.constantFrom(
        'X',
        'X y',
        ': y',
        'X : y',
        ' X: y',
        '\tX: y',
        'X\0: y',
        'X: \0',
        'X: a\rb',
        'X: a\nY',
        'X: a\n b',
        'X(): y',
        'X é: y',
        '"X": y',
        `X: ${'y'.repeat(9_000)}`,
        `${'X'.repeat(9_000)}: y`,
        'Expect: 200-maybe',
      ),
      fc.constantFrom('\x01', '\x02', '\x07', '\x08', '\x0b', '\x0c', '\x0e', '\x1b', '\x1f', '\x7f').map((control) => `X: a${control}b`),
      fc.constant(Array.from({ length: 500 }, (_, i) => `X-${i}: ${'y'.repeat(20)}`).join('\r\n')),
    )
    .chain((line) => attempt(`header ${JSON.stringify(line.slice(0, 20))}`, { headers: [HOST, line, FORM], body: form }));
  const otherProtocol = fc
    .oneof(
      fc.constantFrom(
        'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
        'SSH-2.0-OpenSSH_9.0\r\n',
        'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n',
        '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
        'EHLO x\r\n',
        '*1\r\n$4\r\nPING\r\n',
        '\0\0\0\0',
      ),
      fc
        .uint8Array({ minLength: 1, maxLength: 500 })
        .map((bytes) => Buffer.from(bytes).toString('latin1'))
        .filter((bytes) => !/^[\r\n]*[A-Z]*$/.test(bytes)),
    )
    .chain((bytes) => raw('another protocol', `${bytes}\r\n\r\n`, { ending: 'fin' }));

  // --- who goes away
  const whole = wholeRequest({ body: form });
  const partial = fc
    .tuple(fc.integer({ min: 1, max: whole.length - 1 }), fc.constantFrom<Ending>('fin', 'reset'))
    .chain(([length, ending]) => raw('a part of a request', whole.subarray(0, length), { ending, complete: false }));

  return fc.oneof(
    repeated,
    badEscape,
    nul,
    invalidUtf8,
    missing,
    otherGrant,
    impossibleCredential,
    noForm,
    cutJson,
    wrongType,
    noObject,
    deep,
    repeatedJson,
    looseJson,
    large,
    declared,
    contentType,
    noContentType,
    swappedType,
    twoTypes,
    framing,
    badChunks,
    twoMethods,
    twoNames,
    twoHeaders,
    badBasic,
    assertion,
    inQuery,
    method,
    postElsewhere,
    path,
    version,
    noHost,
    headerLine,
    otherProtocol,
    partial,
  );
}

/** Requests in good form that must not get a token all the same: the credential, the API, a scope or the organization is wrong. */
export function wrongRequests(credential: Credential, audience: string): fc.Arbitrary<Attempt> {
  const pairs = goodPairs(credential, audience);
  const visible = fc.string({
    unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
    minLength: 1,
    maxLength: 60,
  });
  const any = fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }).filter((value) => !value.includes('\0'));
  const changed = (name: string, value: string): Attempt => {
    const body = formOf([...pairs.filter(([known]) => known !== name), [name, value]]);
    return new Attempt(`${name} ${JSON.stringify(value)}`, wholeRequest({ body }), credential.client_secret);
  };
  return fc.oneof(
    visible.map((secret) => changed('client_secret', secret)),
    fc.uuid().map((id) => changed('client_id', id)),
    fc
      .oneof(any, fc.constantFrom(`${audience}/`, `${audience} `, audience.toUpperCase(), `${audience}\u200b`, '../../tenants/globex', '*'))
      .map((value) => changed('audience', value)),
    fc.oneof(any, fc.constantFrom('read:reports', '*')).map((value) => changed('scope', `${value} drop:everything`)),
    any.map((value) => changed('organization', value)),
  );
}

/** The good request with some bytes changed at random, and whether it still says what the good one says. */
export function damagedRequests(credential: Credential, audience: string): fc.Arbitrary<Attempt & { same: boolean }> {
  const pairs = goodPairs(credential, audience);
  const good = wholeRequest({ body: formOf(pairs) });
  const place = fc.nat(good.length - 1);
  const change = fc.oneof(
    fc.record({ kind: fc.constant('flip' as const), from: place, by: fc.integer({ min: 1, max: 255 }) }),
    fc.record({ kind: fc.constant('cut' as const), from: place, length: fc.integer({ min: 1, max: 40 }) }),
    fc.record({ kind: fc.constant('copy' as const), from: place, to: place, length: fc.integer({ min: 1, max: 40 }) }),
    fc.record({ kind: fc.constant('put' as const), from: place, bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }) }),
  );
  return fc.array(change, { minLength: 1, maxLength: 4 }).map((changes) => {
    let bytes = good;
    for (const one of changes) {
      const [front, back] = [bytes.subarray(0, one.from), bytes.subarray(one.from)];
      if (one.kind === 'flip')
        bytes = Buffer.concat([front, Buffer.from(back.subarray(0, 1).map((byte) => byte ^ one.by)), back.subarray(1)]);
      if (one.kind === 'cut') bytes = Buffer.concat([front, back.subarray(one.length)]);
      if (one.kind === 'copy')
        bytes = Buffer.concat([bytes.subarray(0, one.to), bytes.subarray(one.from, one.from + one.length), bytes.subarray(one.to)]);
      if (one.kind === 'put') bytes = Buffer.concat([front, one.bytes, back]);
    }
    const said = new URLSearchParams(bytes.subarray(bytes.indexOf('\r\n\r\n') + 4).toString('latin1'));
    const same = pairs.every(([name, value]) => said.get(name) === value);
    return Object.assign(new Attempt('damaged', bytes, credential.client_secret, { ending: 'fin', complete: false }), { same });
  });
}
