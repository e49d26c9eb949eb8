import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { during } from './during.ts';
import type { Customer } from './customers.ts';
import type { Stage } from './stage.ts';

type Document = Record<string, unknown> & { access_token: string };

/** Keys and what replicas share are changed under them. */
export function cacheFaults(stageOf: () => Stage): void {
  const kv = {
    async read(path: string): Promise<Document> {
      const { client, token } = stageOf().root;
      return (await client.read(`postern-tokens/data/${path}`, { token }))?.data?.['data'] as Document;
    },
    async write(path: string, data: Document): Promise<void> {
      const { client, token } = stageOf().root;
      await client.write(`postern-tokens/data/${path}`, { data }, { token });
    },
    /** Every document. */
    async paths(under = ''): Promise<string[]> {
      const { client, token } = stageOf().root;
      const names = await client.list(`postern-tokens/metadata/${under}`.replace(/\/$/, ''), { token });
      const found = await Promise.all(names.map(async (name) => (name.endsWith('/') ? kv.paths(under + name) : [under + name])));
      return found.flat();
    },
  };

  test('all that replicas share is wiped, and a replica starts anew', async () => {
    const { root, replicas, hot } = stageOf();
    const seen = await during(stageOf(), {
      name: 'KV cache wiped, then a replica `kill -9` and started',
      async begin() {
        for (const path of await kv.paths()) await root.client.delete(`postern-tokens/metadata/${path}`, { token: root.token });
        await replicas[0]!.kill();
        await replicas[0]!.start();
      },
      lasts: 5_000,
    });
    expect(seen.wrong).toEqual([]);
    expect(seen.hits.errors).toEqual({});
    // One for each tenant that the new one was asked for: the others don't put theirs back.
    expect(seen.upstream).toBeLessThanOrEqual(hot.length);
  });

  test("another tenant's token is planted, one is cut, one has a wrong signature: none is served, each is replaced", async () => {
    const { customers, directly } = stageOf();
    const strangers = await customers.fresh(6);
    const apis = ['orders', 'reports'] as const;
    // The first replica puts them there.
    await directly[0]!.serveAll(strangers);
    const foreign = strangers[0]!;
    const harm: ((document: Document, other: Document) => Document)[] = [
      (document, other) => ({ ...document, access_token: other.access_token }),
      (document, other) => ({ ...other, grant: document['grant'] }),
      (document) => ({ ...document, access_token: document.access_token.slice(0, -100) }),
      (document) => ({
        ...document,
        access_token: `${document.access_token.slice(0, document.access_token.lastIndexOf('.'))}.${'A'.repeat(342)}`,
      }),
      (document) => ({ ...document, expires_at: Number(document['expires_at']) + 86_400 }),
    ];
    const harmed = strangers.slice(1);
    const seen = await during(stageOf(), {
      name: 'planted in the KV cache: a token of another tenant, a truncated one, a wrong signature, a later end',
      async begin() {
        for (const api of apis)
          for (const [n, { tenant }] of harmed.entries())
            await kv.write(`${tenant}/${api}`, harm[n]!(await kv.read(`${tenant}/${api}`), await kv.read(`${foreign.tenant}/${api}`)));
        // Neither of these two has them in memory.
        for (const one of directly.slice(1)) await askAll(one, harmed);
      },
    });
    expect(seen.wrong).toEqual([]);
    expect(seen.hits.errors).toEqual({});
    // One for each that was harmed: the second replica took what the first of them had put there.
    expect(seen.upstream).toBe(harmed.length);
  });

  const askAll = async (one: Stage['clients'], customers: readonly Customer[]): Promise<void> => {
    for (const customer of customers)
      for (const door of ['orders by token', 'reports by token'] as const)
        expect(await one.ask(door, customer), `${customer.tenant}, ${door}`).not.toHaveProperty('wrong');
  };

  test('the signing key is rotated and its old versions retired at once', async () => {
    const { root, services } = stageOf();
    const { client, token } = root;
    const seen = await during(stageOf(), {
      name: 'transit key rotated, old versions retired at once',
      // Until every broker has looked at the key again.
      lasts: 40_000,
      async begin() {
        await client.write('transit/keys/postern/rotate', {}, { token });
        const found = await client.read('transit/keys/postern', { token });
        const latest = Number(found?.data?.['latest_version']);
        await client.write('transit/keys/postern/config', { min_encryption_version: latest, min_decryption_version: latest }, { token });
      },
      async heal() {
        // Services, too, have now only the new key.
        services.forget();
        await sleep(5_000);
      },
    });
    expect(seen.wrong).toEqual([]);
    expect(seen.hits.errors).toEqual({});
    expect(seen.upstream).toBe(0);
  });
}
