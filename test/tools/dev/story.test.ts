import { PassThrough } from 'node:stream';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { NotAsTold, Story, check, duration, paperOf } from '#dev/story.ts';

function sheet(isTTY: boolean): { stream: NodeJS.WriteStream; text: () => string } {
  const stream = Object.assign(new PassThrough(), { isTTY }) as unknown as NodeJS.WriteStream;
  return { stream, text: () => String((stream as unknown as PassThrough).read() ?? '') };
}

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('a story', () => {
  test('tells a step only after its work, with what was seen', async () => {
    const { stream, text } = sheet(false);
    const story = new Story(paperOf(stream));
    story.chapter('One');
    const value = await story.step('does it', async () => ({ seen: 'seen', value: 7 }));
    expect(value).toBe(7);
    expect(story.steps).toEqual([{ chapter: 'One', title: 'does it', ok: true, detail: 'seen', milliseconds: expect.any(Number) }]);
    expect(text()).toMatch(/^\nOne\n {2}✓ +[\d.]+ ms {2}does it {2}→ seen\n$/);
  });

  test('ends at a step that is not as told, and says why', async () => {
    const { stream, text } = sheet(false);
    const story = new Story(paperOf(stream));
    const step = story.step('does it', async () => {
      check(1 + 1 === 3, 'one and one are 2');
      return { seen: '', value: undefined };
    });
    await expect(step).rejects.toBeInstanceOf(NotAsTold);
    expect(story.steps).toMatchObject([{ ok: false, detail: 'one and one are 2' }]);
    expect(text()).toContain('✗ does it\n      one and one are 2');
  });

  test.each([
    ['a terminal', true, '', true],
    ['a terminal with NO_COLOR', true, '1', false],
    ['a pipe', false, '', false],
  ])('on %s', (_name, isTTY, noColour, coloured) => {
    vi.stubEnv('NO_COLOR', noColour);
    vi.stubEnv('FORCE_COLOR', undefined);
    const { stream, text } = sheet(isTTY);
    new Story(paperOf(stream)).chapter('One');
    expect(text().includes('\u001B[')).toBe(coloured);
  });

  test.each([
    [0.5, '0.5 ms'],
    [12.4, '12 ms'],
    [999.4, '999 ms'],
    [1_540, '1.5 s'],
  ])('%f ms reads %s', (milliseconds, text) => {
    expect(duration(milliseconds)).toBe(text);
  });
});
