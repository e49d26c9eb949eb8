import { expect, test } from 'vitest';
import type { VaultClient } from '#broker/vault/client.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { Kv } from '#broker/vault/kv.ts';

const LIMIT = 1_000;
const REFUSED = 'Vault answered 400 to kv/data/x: refused JSON input due to high complexity: exceeded maximum number of strings';

const strings = (value: unknown): number => {
  if (typeof value === 'string') return 1;
  if (typeof value !== 'object' || value === null) return 0;
  return Object.values(value).reduce<number>((sum, one) => sum + strings(one), Array.isArray(value) ? 0 : Object.keys(value).length);
};

/** A mount that takes as many strings as OpenBao does. */
function stage() {
  let stored: Record<string, unknown> | undefined;
  let version = 0;
  const written: unknown[] = [];
  const client = {
    read: async () => ({ data: { data: stored, metadata: { version } } }),
    write: async (_: string, body: { data: Record<string, unknown>; options?: { cas?: number } }) => {
      if (strings(body) > LIMIT) throw new VaultFault('invalid', REFUSED);
      if (body.options?.cas !== undefined && body.options.cas !== version) throw new VaultFault('conflict', 'check-and-set');
      written.push(body.data);
      stored = structuredClone(body.data);
      return { data: { version: (version += 1) } };
    },
  };
  return { kv: new Kv(client as unknown as VaultClient, 'kv'), written };
}
const many = { revoked: Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [`id${i}`, `value ${i}`])) };

test('a document with more strings than OpenBao takes is written as text, and read as it was', async () => {
  const { kv, written } = stage();
  expect(await kv.write('x', many, 0, { token: 't' })).toBe(1);
  expect(Object.keys(written[0] as object)).toEqual(['json']);
  expect(await kv.read('x', { token: 't' })).toEqual({ data: many, version: 1 });
  await expect(kv.write('x', many, 0, { token: 't' })).rejects.toMatchObject({ reason: 'conflict' });
  // It shrinks again.
  expect(await kv.write('x', { revoked: {} }, 1, { token: 't' })).toBe(2);
  expect(written[1]).toEqual({ revoked: {} });
});

test.each([
  'JSON object exceeds allowed entry count',
  'JSON array exceeds allowed element count',
  'JSON payload exceeds allowed token count',
])('so is one that Vault refuses: %s', async (said) => {
  const written: unknown[] = [];
  const client = {
    write: async (_: string, { data }: { data: Record<string, unknown> }) => {
      if (!('json' in data)) throw new VaultFault('too_large', `Vault answered 500 to kv/data/x: ${said}`, { status: 500 });
      written.push(data);
      return { data: { version: 1 } };
    },
  };
  expect(await new Kv(client as unknown as VaultClient, 'kv').write('x', many, 0, {})).toBe(1);
  expect(written).toEqual([{ json: JSON.stringify(many) }]);
});

test('what is too long as text is refused, and not tried for ever', async () => {
  let writes = 0;
  const client = {
    write: async () => {
      writes += 1;
      throw new VaultFault('too_large', 'Vault answered 500 to kv/data/x: JSON string value exceeds allowed length', { status: 500 });
    },
  };
  await expect(new Kv(client as unknown as VaultClient, 'kv').write('x', many, 0, {})).rejects.toMatchObject({ reason: 'too_large' });
  expect(writes).toBe(1);
});

test.each([{ json: 'no JSON' }, { json: '7' }, { json: '{"a":1}', b: 2 }, { json: 7 }, { other: '{}' }])(
  'a document that only looks like one is read as it is: %j',
  async (document) => {
    const { kv } = stage();
    await kv.write('x', document, undefined, { token: 't' });
    expect((await kv.read('x', { token: 't' })).data).toEqual(document);
  },
);

test('another refusal is passed on', async () => {
  const client = { write: () => Promise.reject(new VaultFault('invalid', 'Vault answered 400 to kv/data/x: no')) };
  await expect(new Kv(client as unknown as VaultClient, 'kv').write('x', many, 0, {})).rejects.toMatchObject({ reason: 'invalid' });
});
