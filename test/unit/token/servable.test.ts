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
    expect(new Servable({}).includes(token(lifetime), before(lifetime, left), 'acme')).toBe(served);
  });

  it.each([
    ['less than it has left', 3600, 70, 69, true],
    ['as much as it has left', 3600, 70, 70, false],
    ['more than it must have left', 40, 25, 35, false],
    ['less than it must have left', 40, 25, 15, true],
  ])('by a clock that is behind by %s', (_, lifetime, left, behind, served) => {
    const servable = new Servable({ behind: () => behind * 1000 });
    expect(servable.includes(token(lifetime), before(lifetime, left), 'acme')).toBe(served);
  });
});
