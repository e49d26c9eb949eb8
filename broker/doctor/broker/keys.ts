import { failed, ok } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';
import { sourceView } from '#broker/doctor/source-view.ts';
import type { BrokerView } from './broker-view.ts';

const title = 'broker: JWKS';

/** Whether the keys that services verify by are usable, public, and those that tokens are signed with. */
export const keys: Inspection<BrokerView> = {
  title,
  async inspect({ discovery, keys: read, sources, vault }) {
    // Nothing answers, or there is no discovery document: said already.
    if (typeof (await discovery())?.body['jwks_uri'] !== 'string') return [];
    const listed = (await read())?.body['keys'];
    const found = Array.isArray(listed) ? (listed as Record<string, unknown>[]) : [];
    if (found.length === 0)
      return [failed(title, 'there are no keys, so no token can be verified', 'Can the broker read its signing key? See its log.')];
    const poor = found.filter(({ kid, alg, use, kty }) => typeof kid !== 'string' || alg !== 'RS256' || use !== 'sig' || kty !== 'RSA');
    if (poor.length > 0)
      return [
        failed(
          title,
          `${poor.length} of ${found.length} keys lack kid, alg or use`,
          'This is not what this version of the broker serves: what answers there?',
        ),
      ];
    if (found.some((key) => 'd' in key)) return [failed(title, 'a private key is served', 'Take it offline, and rotate the key.')];
    for (const { name, published } of sources) if (published !== undefined) return [await published(title, found, sourceView(vault, name))];
    return [ok(title, `${found.length} key${found.length === 1 ? '' : 's'}`)];
  },
};
