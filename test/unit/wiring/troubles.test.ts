import { expect, test } from 'vitest';
import { Troubles } from '#broker/wiring/troubles.ts';

const MESSAGE = 'the catalogue can not be read';

function stage() {
  const lines: [level: string, fields: Record<string, unknown>, message: string][] = [];
  const tell = (level: string) => (fields: Record<string, unknown>, message: string) => void lines.push([level, fields, message]);
  const time = { now: 0 };
  const troubles = new Troubles({ warn: tell('warn'), debug: tell('debug') } as never, () => time.now);
  const warned = () => lines.filter(([level]) => level === 'warn').map(([, , message]) => message);
  return { lines, time, troubles, warned };
}

test('what fails each second for a minute has a line when it begins and one when it ends, which says how long it took', () => {
  const { lines, time, troubles, warned } = stage();
  for (; time.now < 60_000; time.now += 1000) troubles.fails(MESSAGE, new Error('away'));
  troubles.works(MESSAGE);
  troubles.works(MESSAGE);
  expect(warned()).toEqual([MESSAGE, `over: ${MESSAGE}`]);
  expect(lines.at(-1)).toEqual(['warn', { times: 60, seconds: 60 }, `over: ${MESSAGE}`]);
});

test('it is told again when it came back, when nobody said that it was over, and each ten minutes while it lasts', () => {
  const { time, troubles, warned } = stage();
  troubles.fails(MESSAGE, 1);
  troubles.works(MESSAGE);
  troubles.fails(MESSAGE, 2);
  expect(warned()).toHaveLength(3);
  time.now += 61_000;
  troubles.fails(MESSAGE, 3);
  expect(warned()).toHaveLength(4);
  for (let i = 0; i < 1800; i++, time.now += 1000) troubles.fails(MESSAGE, 4);
  expect(warned()).toHaveLength(6);
});

test('one trouble does not hide another, and all that is not told stands at debug level', () => {
  const { lines, troubles, warned } = stage();
  for (let i = 0; i < 3; i++) for (const message of ['a', 'b']) troubles.fails(message, i);
  expect(warned()).toEqual(['a', 'b']);
  expect(lines.filter(([level]) => level === 'debug')).toHaveLength(4);
});
