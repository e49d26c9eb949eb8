import { describe, expect, test } from 'vitest';
import { Failures } from '#broker/admin/failures.ts';

describe('wrong credentials are counted by network', () => {
  const hex = (n: number) => n.toString(16).padStart(2, '0');
  test.each<[string, number, (n: number) => string]>([
    ['one address', 100, () => '192.0.2.7'],
    ['one /64, another address each', 100, (n) => `2001:db8:1:2::${n.toString(16)}`],
    ['one /56, another /64 each', 150, (n) => `2001:db8:1:1${hex(n % 256)}::1`],
    ['one /48, another /64 each', 200, (n) => `2001:db8:1:${n.toString(16)}::1`],
    ['another /48 each', 1000, (n) => `2001:db8:${n.toString(16)}::1`],
  ])('%s: %i pass', (_what, most, address) => {
    const failures = new Failures(100, () => 0);
    let passed = 0;
    for (let n = 0; n < 1000; n++) {
      if (failures.wait(address(n)) > 0) continue;
      passed++;
      failures.take(address(n));
    }
    expect(passed).toBe(most);
  });

  test('and forgiven with time', () => {
    let now = 0;
    const failures = new Failures(60, () => now);
    for (let n = 0; n < 60; n++) failures.take('192.0.2.7');
    expect(failures.wait('192.0.2.7')).toBeGreaterThan(0);
    expect(failures.wait('192.0.2.8')).toBe(0);
    now = 1001;
    expect(failures.wait('192.0.2.7')).toBe(0);
  });
});
