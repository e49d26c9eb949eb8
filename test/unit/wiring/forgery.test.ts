import { expect, test } from 'vitest';
import { IssuedTokens } from '#broker/token/issued-tokens.ts';
import { Token } from '#broker/token/token.ts';
import { forgeryTold } from '#broker/wiring/forgery.ts';
import { grantOf } from '#test/unit/authorization/stage.ts';
import { TENANT_CLAIM, claimsOf, signer } from '#test/unit/token/signer.ts';

const ISSUER = 'https://tokens.example.com/';
const now = Math.floor(Date.now() / 1000);

test.each([
  ['an error', 'of a key that its issuer publishes', false, false],
  ['a warning', 'of a key that its issuer does not publish, which many caches may not have yet', true, false],
  ['an error', 'dated in the future, whatever signed it', true, true],
])('what is not genuine is told as %s: one %s', async (as, _which, lacks, future) => {
  const key = await signer();
  const token = new Token(await key.sign(claimsOf(ISSUER, now)), 'read:all', now, now + 3600, 0);
  const told: string[] = [];
  const log = {
    error: (...said: unknown[]) => told.push(`an error: ${said[1]}`),
    warn: (...said: unknown[]) => told.push(`a warning: ${said[1]}`),
  };
  const judge = { issuer: ISSUER, sharedClient: false, judge: async () => undefined, lacks: (kid: string) => kid === key.kid && lacks };
  const issued = new IssuedTokens({ judges: [judge], tenantClaim: TENANT_CLAIM });
  forgeryTold(issued, log as never)(await grantOf(), token, future);
  expect(told).toEqual([expect.stringMatching(`^${as}: what lies in the cache .*${future ? 'future' : lacks ? 'anew' : 'nobody'}`)]);
});
