import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { claimsLayout } from '#broker/authorization/layout.ts';
import { grantOf } from './stage.ts';

const layout = claimsLayout({ binding: 'action', tenantClaim: 'https://postern.dev/tenant' });

test('the layout of claims is what it has always been: brokers of all versions and the plugin share what lies under it', () => {
  expect(layout).toBe('action https://postern.dev/tenant');
  expect(claimsLayout({ binding: 'organization', tenantClaim: 'https://example.com/t' })).toBe('organization https://example.com/t');
});

test('and so is the digest of a grant, by which its token is stored', async () => {
  const { digest } = await grantOf({ layout });
  const tuple =
    '["https://tokens.example.com/","acme","acme-role-id","https://orders.example.com",["read:all","write:all"],null,"srN5_84dYdGcAZ6Le9ptPyEnwcJ4uB9GNNUd-KWo0f8"]';
  expect(createHash('sha256').update(tuple).digest('base64url')).toBe(digest);
  expect(digest).toBe('EyrhoIVU-Dw0OcAzlk2m2LPrr0iZINdY4cRCHEfmCAk');
});
