import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { known, parseBody } from '#broker/http/body.ts';
import { GRANTS } from '#broker/http/token-endpoint.ts';

const FORM = 'application/x-www-form-urlencoded';
const JSON_TYPE = 'application/json';

const KNOWN = known(...GRANTS.map(({ parameters }) => parameters));

function outcomeOf(type: string | undefined, body: string | Buffer): Record<string, string> | string {
  try {
    return Object.fromEntries(parseBody(type, Buffer.from(body as string), KNOWN));
  } catch (error) {
    if (!(error instanceof PosternError)) throw error;
    expect(error.message).toMatch(/^[\x20-\x7e]*$/);
    return error.code;
  }
}

describe('a form', () => {
  test.each<[string, string, Record<string, string>]>([
    ['plain', 'grant_type=client_credentials&client_id=a', { grant_type: 'client_credentials', client_id: 'a' }],
    ['escapes in names and values', '%63lient_id=a%2Fb%20c+d', { client_id: 'a/b c d' }],
    ['a plus that is escaped', 'a=1%2B1', { a: '1+1' }],
    ['UTF-8, escaped and raw', 'a=%C3%A9&b=é', { a: 'é', b: 'é' }],
    ['no value, an equals sign in the value', 'a&b=&c=d=e==', { a: '', b: '', c: 'd=e==' }],
    ['empty pairs', '&&a=1&&', { a: '1' }],
    ['nothing', '', {}],
    ['a name like a prototype', '__proto__=x&constructor=y', { ['__proto__']: 'x', constructor: 'y' }],
    ['a semicolon is not a delimiter', 'a=1;b=2', { a: '1;b=2' }],
  ])('%s', (_what, body, expected) => {
    const parameters = parseBody(FORM, Buffer.from(body));
    expect(new Map(parameters)).toEqual(new Map(Object.entries(expected)));
  });

  test.each<[string, string | Buffer]>([
    ['a parameter twice', 'audience=a&audience=b'],
    ['twice the same', 'scope=a&scope=a'],
    ['twice, once without a value', 'client_secret=&client_secret=x'],
    ['twice, once escaped', 'client_id=a&%63lient%5Fid=b'],
    ['twice, one unknown', 'x=1&x=2'],
    ['a form in ISO-8859-1', Buffer.from('client_id=caf\xe9', 'latin1')],
    ['an escape cut off', 'a=%'],
    ['an escape cut off in the middle', 'a=%4'],
    ['a malformed escape', 'a=%zz'],
    ['an escaped byte that is not UTF-8', 'a=%ff'],
    ['an overlong escape', 'a=%c0%af'],
    ['an escaped surrogate', 'a=%ed%a0%80'],
    ['a bad escape in a name', '%=a'],
    ['raw bytes that are not UTF-8', Buffer.from([0x61, 0x3d, 0xff, 0xfe])],
    ['an escaped NUL', 'client_id=a%00b'],
    ['a raw NUL', 'client_id=a\0b'],
  ])('%s is refused', (_fault, body) => {
    expect(outcomeOf(FORM, body)).toBe('invalid_request');
  });

  test('ten thousand pairs take no time', () => {
    const body = Array.from({ length: 4000 }, (_, i) => `p${i}=${i}`).join('&');
    const begun = performance.now();
    expect(parseBody(FORM, Buffer.from(body)).size).toBe(4000);
    expect(performance.now() - begun).toBeLessThan(500);
  });
});

describe('resource, which RFC 8707 lets a client repeat', () => {
  test('the same one is one', () => {
    expect(outcomeOf(FORM, 'resource=https%3A%2F%2Fa&resource=https://a')).toEqual({ resource: 'https://a' });
  });

  test.each(['resource=https://a&resource=', 'resource=&resource=https://a'])('%s: one without a value counts as left out', (body) => {
    expect(outcomeOf(FORM, body)).toEqual({ resource: 'https://a' });
  });

  test('two are two targets', () => {
    expect(outcomeOf(FORM, 'resource=https://a&resource=https://b')).toBe('invalid_target');
  });

  test('in JSON a name is sent once', () => {
    expect(outcomeOf(JSON_TYPE, '{"resource":"https://a","resource":"https://a"}')).toBe('invalid_request');
    expect(outcomeOf(JSON_TYPE, '{"resource":["https://a","https://b"]}')).toBe('invalid_request');
  });
});

describe('JSON', () => {
  test.each<[string, string, Record<string, string>]>([
    ['one flat object', '{"grant_type":"client_credentials","client_id":"a"}', { grant_type: 'client_credentials', client_id: 'a' }],
    ['values of others that are not strings', '{"a":"1","b":2,"c":null,"d":{"a":"x"},"e":["a"],"f":true}', { a: '1' }],
    ['one of ours that is null counts as left out', '{"audience":null,"client_id":"a"}', { client_id: 'a' }],
    ['colons, braces and quotes in strings', '{"a":"{\\"x\\":[1,2]}: \\\\","b":"]}:"}', { a: '{"x":[1,2]}: \\', b: ']}:' }],
    ['the same name deeper down', '{"a":"1","b":{"a":"2","c":{"a":"3"}},"d":[{"a":"4"}]}', { a: '1' }],
    ['white space', ' \r\n\t{ "a" : "1" , "b" : "2" } \n', { a: '1', b: '2' }],
    ['a byte order mark', '\ufeff{"a":"é"}', { a: 'é' }],
    ['an empty object', '{}', {}],
  ])('%s', (_what, body, expected) => {
    expect(outcomeOf(JSON_TYPE, body)).toEqual(expected);
  });

  test('a name like a prototype is a parameter like any other, and pollutes nothing', () => {
    const parameters = parseBody(JSON_TYPE, Buffer.from('{"__proto__":"x","constructor":"y","client_id":"a"}'));
    expect(parameters.get('client_id')).toBe('a');
    expect(parameters.get('grant_type')).toBeUndefined();
    expect(({} as Record<string, unknown>)['client_id']).toBeUndefined();
    expect(parseBody(JSON_TYPE, Buffer.from('{"__proto__":{"grant_type":"client_credentials","client_secret":"x"}}')).size).toBe(0);
  });

  test.each<[string, string | Buffer]>([
    ['nothing', ''],
    ['an array', '[]'],
    ['a string', '"grant_type"'],
    ['null', 'null'],
    ['a number', '7'],
    ['two documents', '{}{}'],
    ['cut off', '{"a":"1"'],
    ['a comment', '{/**/}'],
    ['a trailing comma', '{"a":"1",}'],
    ['single quotes', "{'a':'1'}"],
    ['a parameter twice', '{"client_id":"a","client_id":"b"}'],
    ['twice the same', '{"scope":"a","scope":"a"}'],
    ['twice, once escaped', '{"client_id":"a","\\u0063lient_id":"b"}'],
    ['twice, once null', '{"audience":null,"audience":"b"}'],
    ['twice, once an object', '{"audience":{"a":1},"audience":"b"}'],
    ["a prototype's name twice", '{"__proto__":"a","__proto__":"b"}'],
    ['numbers as names, twice', '{"1":"a","1":"b"}'],
    ['twice with a trap between', '{"a":"\\\\\\"","b":"}","a":"x"}'],
    ['one of ours as a number', '{"client_id":7}'],
    ['one of ours as an array', '{"audience":["a","b"]}'],
    ['one of ours as an object', '{"client_secret":{"$ne":""}}'],
    ['one of ours as true', '{"scope":true}'],
    ['NUL in a value', '{"client_id":"a\\u0000b"}'],
    ['raw bytes that are not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
  ])('%s is refused', (_fault, body) => {
    expect(outcomeOf(JSON_TYPE, body)).toBe('invalid_request');
  });

  test.each(['[', '{"a":', '[{"a":'])('16 KiB of %s is refused, quickly and without a stack overflow', (open) => {
    const begun = performance.now();
    expect(outcomeOf(JSON_TYPE, open.repeat(16_000 / open.length))).toBe('invalid_request');
    expect(outcomeOf(JSON_TYPE, `{"x":${'['.repeat(8000)}${']'.repeat(8000)}}`)).toEqual({});
    expect(performance.now() - begun).toBeLessThan(500);
  });

  test('repeated names are found in any object that JSON can hold', () => {
    const value = fc.jsonValue({ maxDepth: 3 });
    const pairs = fc.array(fc.tuple(fc.string({ unit: 'binary', maxLength: 4 }), value), { maxLength: 6 });
    fc.assert(
      fc.property(pairs, fc.boolean(), (entries, spaced) => {
        const gap = spaced ? ' ' : '';
        const text = `{${entries.map(([name, v]) => `${JSON.stringify(name)}${gap}:${gap}${JSON.stringify(v, null, spaced ? 1 : 0)}`).join(',')}}`;
        const repeats = new Set(entries.map(([name]) => name)).size !== entries.length;
        const nul = entries.some(([, v]) => typeof v === 'string' && v.includes('\0'));
        const outcome = outcomeOf(JSON_TYPE, text);
        if (repeats || nul) expect(outcome).toBe('invalid_request');
        else expect(outcome).toEqual(Object.fromEntries(entries.filter(([, v]) => typeof v === 'string')));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('Content-Type', () => {
  test.each([
    FORM,
    'Application/X-WWW-Form-UrlEncoded',
    `${FORM}; charset=utf-8`,
    `${FORM};charset=UTF-8`,
    `${FORM}; charset="utf-8"`,
    ` ${FORM} `,
    `${FORM};`,
    `${FORM}; x=y`,
    // Apache HttpClient's default, and others: a form has no charset parameter.
    `${FORM}; charset=ISO-8859-1`,
    `${FORM}; charset=utf8`,
    `${FORM}; charset=us-ascii`,
    `${FORM}; charset=utf-16`,
    `${FORM}; Charset = "latin1"`,
    `${FORM} ;charset = "UTF-8" ; q=","`,
    `${FORM}; charset="a\\"b"`,
    `${FORM};;charset=utf-8;`,
    `${FORM}; charset=utf-8; charset=latin1`,
    `\t${FORM}\t;\tcharset=x`,
  ])('%s is a form', (type) => {
    expect(outcomeOf(type, 'a=1')).toEqual({ a: '1' });
  });

  test.each([
    JSON_TYPE,
    `${JSON_TYPE}; charset=utf-8`,
    `${JSON_TYPE};Charset="UTF8"`,
    `${JSON_TYPE}; charset=us-ascii`,
    'APPLICATION/JSON',
  ])('%s is JSON', (type) => {
    expect(outcomeOf(type, '{"a":"1"}')).toEqual({ a: '1' });
  });

  test.each([
    undefined,
    '',
    'text/plain',
    'multipart/form-data; boundary=x',
    'application/xml',
    'application/jwt',
    `${JSON_TYPE}; charset=iso-8859-1`,
    `${JSON_TYPE}; charset=utf-8; charset=utf-16`,
    `${FORM}, ${FORM}`,
    `${FORM}; charset=utf-8, ${FORM}`,
    `${FORM}; charset`,
    `${FORM}; charset="utf-8`,
    `${FORM} charset=utf-8`,
    `${FORM}/x`,
    `application /x-www-form-urlencoded`,
    'application/json+x',
    'application/x-www-form-urlencoded,application/json',
    'json',
    ';',
    '/',
  ])('%s is 415', (type) => {
    expect(outcomeOf(type, 'a=1')).toBe('unsupported_media_type');
  });

  test('8 KiB of it takes no time', () => {
    const begun = performance.now();
    for (const piece of ['; ', '; charset', '; charset =', ';charset="', ' ']) outcomeOf(FORM + piece.repeat(8000 / piece.length), 'a=1');
    expect(performance.now() - begun).toBeLessThan(200);
  });
});

test("10,000 generated bodies: parsed or refused as the client's mistake, nothing else", () => {
  const piece = fc.constantFrom(
    'grant_type',
    'client_credentials',
    'client_id',
    '=',
    '&',
    '%',
    '%00',
    '%41',
    '+',
    '{',
    '}',
    '[',
    ']',
    '"',
    ':',
    ',',
    '\\',
    '\\u0000',
    'null',
    '7',
    ' ',
    '\n',
    '\0',
    'é',
    '\ud800',
    '__proto__',
    ';',
  );
  const body = fc.oneof(
    fc.array(piece, { maxLength: 20 }).map((p) => p.join('')),
    fc.uint8Array({ maxLength: 40 }).map((b) => Buffer.from(b)),
  );
  fc.assert(
    fc.property(fc.constantFrom(FORM, JSON_TYPE, `${JSON_TYPE};charset=utf-8`, 'text/plain', undefined), body, (type, b) => {
      const outcome = outcomeOf(type, b);
      if (typeof outcome === 'string') expect(['invalid_request', 'unsupported_media_type']).toContain(outcome);
    }),
    { numRuns: 10_000 },
  );
});
