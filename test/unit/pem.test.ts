import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { pemBlocks } from '#broker/pem.ts';

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const PUBLIC = publicKey.export({ type: 'spki', format: 'pem' }) as string;
const PRIVATE = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;

describe('a block is found and written strictly', () => {
  test.each<[string, string]>([
    ['as it is', PUBLIC],
    ['CRLF', PUBLIC.replaceAll('\n', '\r\n')],
    ['CR', PUBLIC.replaceAll('\n', '\r')],
    ['a byte order mark', `\uFEFF${PUBLIC}`],
    ['text before and after', `Bag Attributes\n    friendlyName: acme PUBLIC KEY\n# made by us\n${PUBLIC}\nthe end`],
    ['white space at the ends of lines', PUBLIC.replaceAll('\n', ' \t\n')],
    ['indented', PUBLIC.replaceAll('\n', '\n    ')],
    ['no line break at the end', PUBLIC.trimEnd()],
    ['one long line', `-----BEGIN PUBLIC KEY-----\n${PUBLIC.split('\n').slice(1, -2).join('')}\n-----END PUBLIC KEY-----`],
    ['no line breaks at all', PUBLIC.replaceAll('\n', ' ')],
  ])('%s', (_how, text) => expect(pemBlocks(text)).toEqual([{ label: 'PUBLIC KEY', text: PUBLIC }]));
});

test('several blocks come in their order', () => {
  const blocks = pemBlocks(`${PUBLIC}comment\r\n${PRIVATE}`);
  expect(blocks.map(({ label }) => label)).toEqual(['PUBLIC KEY', 'PRIVATE KEY']);
  expect(createPublicKey(blocks[0]?.text ?? '').equals(publicKey)).toBe(true);
  expect(createPrivateKey(blocks[1]?.text ?? '').equals(privateKey)).toBe(true);
});

test('header fields stay, since they say that there is a passphrase', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
    type: 'pkcs1',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase: 'open',
  }) as string;
  const [block] = pemBlocks(rsa.replaceAll('\n', '\r\n'));
  expect(createPrivateKey({ key: block?.text ?? '', passphrase: 'open' }).asymmetricKeyType).toBe('rsa');
});

test.each(['', 'PUBLIC KEY', '-----BEGIN PUBLIC KEY-----', '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PRIVATE KEY-----'])(
  '%j has none',
  (text) => expect(pemBlocks(text)).toEqual([]),
);
