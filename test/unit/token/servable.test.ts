import { describe, expect, it } from 'vitest';
import { Servable } from '#broker/token/servable.ts';

const ISSUED = 1_000_000;
const token = (lifetime: number) => ({ sha256: 'a', issuedAt: ISSUED, expiresAt: ISSUED + lifetime, signedBy: 'a 1' });
/** ms since 1970, so many seconds before a token's end. */
const before = (lifetime: number, seconds: number): number => (ISSUED + lifetime - seconds) * 1000;

describe('a token is served', () => {
  it.each([
    [3600, 60, true],
    [3600, 59.999, false],
    [40, 20, true],
    [40, 19.999, false],
  ])('of %d s with %d s left: %s', (lifetime, left, served) => {
    expect(new Servable({ now: () => before(lifetime, left) }).includes(token(lifetime), 'acme')).toBe(served);
  });

  it("by its signer's clock", () => {
    const servable = new Servable({ tokenNow: (signedBy) => before(3600, signedBy === 'a 1' ? 60 : 59), now: () => Infinity });
    expect(servable.includes(token(3600), 'acme')).toBe(true);
    expect(servable.includes({ ...token(3600), signedBy: 'b 1' }, 'acme')).toBe(false);
  });

  it.each([Number.NEGATIVE_INFINITY, 0])('never past its end, however little it must have left: %d s', (minRemaining) => {
    expect(new Servable({ minRemaining, now: () => before(3600, 0) }).includes(token(3600), 'acme')).toBe(false);
  });
});
