import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Idempotency } from '#broker/admin/idempotency.ts';
import type { RepeatableAnswer, RepeatableRequest, Work } from '#broker/admin/idempotency.ts';
import { Problem } from '#broker/admin/problem.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';

const KEY = '5f0c1b1e-7c3b-4a7e-9b7d-6a1f0c9d2e11';
const SECRET = 'canary-of-an-issued-key';

/** KV v2 with check-and-set, in memory; shared by replicas. */
class Documents {
  readonly stored = new Map<string, { data: Record<string, unknown>; version: number }>();
  writes = 0;
  /** Fails the next write: before it is done, or after. */
  failing: 'before' | 'after' | undefined;

  async read(path: string): Promise<{ data: Record<string, unknown> | undefined; version: number }> {
    await sleep(1);
    const found = this.stored.get(path);
    return { data: structuredClone(found?.data), version: found?.version ?? 0 };
  }

  async write(path: string, data: Record<string, unknown>, cas: number): Promise<number> {
    await sleep(1);
    const failing = this.failing;
    this.failing = undefined;
    if (failing === 'before') throw away();
    if ((this.stored.get(path)?.version ?? 0) !== cas) throw new PosternError('conflict', 'lost the race');
    this.writes += 1;
    this.stored.set(path, { data: structuredClone(data), version: cas + 1 });
    if (failing === 'after') throw away();
    return cas + 1;
  }

  get text(): string {
    return JSON.stringify([...this.stored]);
  }

  get entries(): number {
    return [...this.stored.values()].reduce((sum, { data }) => sum + Object.keys(data['entries'] as object).length, 0);
  }
}

const away = (): PosternError => new PosternError('temporarily_unavailable', 'Vault is away');
const accessTo = (documents: Documents): VaultAccess =>
  ({
    mounts: { kv: 'postern' },
    call: async (_doing: string, work: (vault: unknown) => unknown) => work({ documents, as: { token: 't' } }),
  }) as unknown as VaultAccess;
const request = (more: Partial<RepeatableRequest> = {}): RepeatableRequest => ({
  caller: 'jwt one',
  operation: 'issueKey',
  key: KEY,
  input: { body: { name: 'a', ttl: 60 } },
  ...more,
});
const answerOf = (number: number): RepeatableAnswer => ({
  status: 201,
  headers: { Location: `/${number}` },
  body: { key: SECRET, number },
});

/** Counts how often it was really done. */
function counting(more: Partial<Work> = {}): Work & { done: number } {
  const work: Work & { done: number } = {
    done: 0,
    async run() {
      work.done += 1;
      return answerOf(work.done);
    },
    ...more,
  };
  return work;
}

async function slugOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error: unknown) => (error instanceof Problem ? error.slug : error instanceof PosternError ? error.code : String(error)),
  );
}

describe('the same key and the same request', () => {
  test('get the same answer, on every replica, whatever the order of the names', async () => {
    const access = accessTo(new Documents());
    const work = counting();
    expect(await new Idempotency().run(access, request(), work)).toEqual({ answer: answerOf(1), replayed: false });
    expect(await new Idempotency().run(access, request(), work)).toEqual({ answer: answerOf(1), replayed: true });
    expect(await new Idempotency().run(access, request({ input: { body: { ttl: 60, name: 'a' } } }), work)).toEqual({
      answer: answerOf(1),
      replayed: true,
    });
    expect(work.done).toBe(1);
  });

  test('at once, on several replicas: done once, and all get that answer', async () => {
    const access = accessTo(new Documents());
    const work = counting({
      async run() {
        work.done += 1;
        await sleep(150);
        return answerOf(work.done);
      },
    });
    const all = await Promise.all(Array.from({ length: 8 }, () => new Idempotency().run(access, request(), work)));
    expect(work.done).toBe(1);
    expect(all.map(({ answer }) => answer)).toEqual(Array.from({ length: 8 }, () => answerOf(1)));
    expect(all.filter(({ replayed }) => !replayed)).toHaveLength(1);
  });

  test('while the first is under way for long: 409, to be repeated', async () => {
    const access = accessTo(new Documents());
    const gate = Promise.withResolvers<RepeatableAnswer>();
    const first = new Idempotency().run(access, request(), { run: () => gate.promise });
    await sleep(20);
    expect(await slugOf(new Idempotency({ patienceMs: 50 }).run(access, request(), counting()))).toBe('idempotency-in-progress');
    gate.resolve(answerOf(7));
    expect(await first).toEqual({ answer: answerOf(7), replayed: false });
  });

  test('are forgotten after 24 h, and leave the storage with the next write', async () => {
    const documents = new Documents();
    const access = accessTo(documents);
    let now = 1_800_000_000_000;
    const idempotency = new Idempotency({ now: () => now });
    const work = counting();
    await idempotency.run(access, request(), work);
    now += 86_400_000 - 1;
    expect((await idempotency.run(access, request(), work)).replayed).toBe(true);
    now += 1;
    expect(await idempotency.run(access, request(), work)).toEqual({ answer: answerOf(2), replayed: false });
    expect(documents.entries).toBe(1);
  });
});

describe('another request', () => {
  test.each<[string, Partial<RepeatableRequest>]>([
    ['another body', { input: { body: { name: 'b', ttl: 60 } } }],
    ['a field more', { input: { body: { name: 'a', ttl: 60, cidrs: [] } } }],
    ['another operation', { operation: 'rotateKey' }],
  ])('with the same key is refused: %s', async (_, other) => {
    const access = accessTo(new Documents());
    const work = counting();
    await new Idempotency().run(access, request(), work);
    expect(await slugOf(new Idempotency().run(access, request(other), work))).toBe('idempotency-key-reused');
    expect(work.done).toBe(1);
  });

  test("of another caller with the same key is that caller's own", async () => {
    const access = accessTo(new Documents());
    const work = counting();
    await new Idempotency().run(access, request(), work);
    expect(await new Idempotency().run(access, request({ caller: 'jwt two' }), work)).toEqual({ answer: answerOf(2), replayed: false });
  });
});

describe('what lies in the storage', () => {
  test('holds neither the key, nor the answer, nor the request', async () => {
    const documents = new Documents();
    await new Idempotency().run(accessTo(documents), request(), counting());
    for (const text of [KEY, SECRET, 'issueKey', 'jwt one', '"ttl"', 'Location']) expect(documents.text).not.toContain(text);
    expect([...documents.stored.keys()]).toEqual([expect.stringMatching(/^state\/idempotency\/[0-9a-f]{2}$/)]);
  });

  test('is refused where another hand changed it', async () => {
    const documents = new Documents();
    await new Idempotency().run(accessTo(documents), request(), counting());
    const [document] = documents.stored.values();
    const [entry] = Object.values(document!.data['entries'] as Record<string, { answer: string }>);
    entry!.answer = `A${entry!.answer.slice(1)}`;
    expect(await slugOf(new Idempotency().run(accessTo(documents), request(), counting()))).toBe('misconfigured');
  });

  test('is bounded', async () => {
    const documents = new Documents();
    const access = accessTo(documents);
    await new Idempotency().run(access, request(), counting());
    const [[path, document]] = [...documents.stored.entries()] as [
      [string, { data: { entries: Record<string, unknown> }; version: number }],
    ];
    const { entries } = document.data;
    for (let number = 0; Object.keys(entries).length < 200; number += 1)
      entries[`filler-${number}`] = { print: 'x', at: Date.now(), owner: 'x' };
    // Another key of the same document: found by trying.
    for (let number = 0; ; number += 1) {
      const key = `${KEY}-${number}`;
      const probe = new Documents();
      await new Idempotency().run(accessTo(probe), request({ key }), counting());
      if (!probe.stored.has(path)) continue;
      expect(await slugOf(new Idempotency().run(access, request({ key }), counting()))).toBe('too-many-requests');
      return;
    }
  });
});

describe('an attempt that does not end well', () => {
  test('refused before anything was done: the key is free again, for another request too', async () => {
    const access = accessTo(new Documents());
    expect(
      await slugOf(
        new Idempotency().run(access, request(), {
          run: async () => {
            throw new PosternError('invalid_request', 'no');
          },
        }),
      ),
    ).toBe('invalid_request');
    expect((await new Idempotency().run(access, request({ input: { body: { name: 'mended' } } }), counting())).replayed).toBe(false);
  });

  test('broken half-way: the next one recovers first, under the same marker, without waiting', async () => {
    const access = accessTo(new Documents());
    const markers: string[] = [];
    const breaking: Work = {
      run: async (marker) => {
        markers.push(`run ${marker}`);
        throw away();
      },
    };
    expect(await slugOf(new Idempotency().run(access, request(), breaking))).toBe('temporarily_unavailable');
    const work = counting({
      run: async (marker) => {
        markers.push(`run ${marker}`);
        return answerOf(1);
      },
      recover: async (marker, draft) => {
        markers.push(`recover ${marker} ${draft === undefined}`);
        return undefined;
      },
    });
    expect((await new Idempotency().run(access, request(), work)).replayed).toBe(false);
    const marker = markers[0]!.slice(4);
    expect(marker).toMatch(/^[0-9a-f]{24}$/);
    expect(markers).toEqual([`run ${marker}`, `recover ${marker} true`, `run ${marker}`]);
  });

  test('what it kept is handed to the next one, which may find that all was done', async () => {
    const access = accessTo(new Documents());
    const breaking: Work = {
      run: async (_marker, keep) => {
        await keep(answerOf(5));
        throw away();
      },
    };
    await slugOf(new Idempotency().run(access, request(), breaking));
    const work = counting({ recover: async (_marker, draft) => draft });
    expect(await new Idempotency().run(access, request(), work)).toEqual({ answer: answerOf(5), replayed: false });
    expect(work.done).toBe(0);
    expect((await new Idempotency().run(access, request(), work)).replayed).toBe(true);
  });

  test('killed: after the lease another takes over; the late one is undone and told so', async () => {
    const access = accessTo(new Documents());
    const undone: RepeatableAnswer[] = [];
    const gate = Promise.withResolvers<RepeatableAnswer>();
    const late = slugOf(
      new Idempotency().run(access, request(), { run: () => gate.promise, undo: async (answer) => void undone.push(answer) }),
    );
    await sleep(20);
    const work = counting({ recover: async () => undefined });
    expect(await new Idempotency({ leaseMs: 10 }).run(access, request(), work)).toEqual({ answer: answerOf(1), replayed: false });
    gate.resolve(answerOf(99));
    expect(await late).toBe('idempotency-in-progress');
    expect(undone).toEqual([answerOf(99)]);
    expect((await new Idempotency().run(access, request(), work)).answer).toEqual(answerOf(1));
  });

  test('one that lost its place may keep nothing any more', async () => {
    const access = accessTo(new Documents());
    const gate = Promise.withResolvers<void>();
    const late = slugOf(
      new Idempotency().run(access, request(), {
        run: async (_marker, keep) => {
          await gate.promise;
          await keep(answerOf(9));
          return answerOf(9);
        },
      }),
    );
    await sleep(20);
    await new Idempotency({ leaseMs: 10 }).run(access, request(), counting());
    gate.resolve();
    expect(await late).toBe('idempotency-in-progress');
  });

  test.each([
    ['before', { done: 2, recovered: 1 }],
    // It is there all the same, and good.
    ['after', { done: 1, recovered: 0 }],
  ] as const)('the record of the answer breaks %s it is written: nothing is done twice', async (when, expected) => {
    const documents = new Documents();
    const access = accessTo(documents);
    let recovered = 0;
    const work = counting({
      async run() {
        work.done += 1;
        if (work.done === 1) documents.failing = when;
        return answerOf(work.done);
      },
      async recover() {
        recovered += 1;
        return undefined;
      },
    });
    expect(await slugOf(new Idempotency().run(access, request(), work))).toBe('temporarily_unavailable');
    expect((await new Idempotency().run(access, request(), work)).answer).toEqual(answerOf(expected.done));
    expect({ done: work.done, recovered }).toEqual(expected);
  });
});
