import { expect, test } from 'vitest';
import { Timeline } from '#test/simulation/timeline.ts';

test('steps come in the order of their times, then as they were asked for, and none that was taken back', async () => {
  const timeline = new Timeline();
  const seen: string[] = [];
  const step = (ms: number, name: string) => timeline.after(ms, () => seen.push(`${name} at ${timeline.now}`));
  step(30, 'c');
  step(10, 'a');
  const back = step(20, 'never');
  step(20, 'b');
  step(20, 'b again');
  back();
  void timeline.sleep(25).then(() => seen.push(`awake at ${timeline.now}`));
  expect(timeline.waiting).toBe(5);
  expect(await timeline.run(29, () => false)).toBe(4);
  expect(seen).toEqual(['a at 10', 'b at 20', 'b again at 20', 'awake at 25']);
  expect(timeline.now).toBe(29);
  expect(timeline.waiting).toBe(1);
  await timeline.run(100, () => false);
  expect(seen.at(-1)).toBe('c at 30');
});

test('a wait that is over already is a step of now, and a run ends as soon as it is settled', async () => {
  const timeline = new Timeline();
  const seen: number[] = [];
  timeline.after(-5, () => seen.push(timeline.now));
  timeline.after(7, () => seen.push(timeline.now));
  timeline.after(9, () => seen.push(timeline.now));
  expect(await timeline.run(100, () => seen.length === 2)).toBe(2);
  expect(seen).toEqual([0, 7]);
});
