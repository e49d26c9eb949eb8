import { failed, ok } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';
import { sourceView } from '#broker/doctor/source-view.ts';
import { bodyOf } from './broker-view.ts';
import type { BrokerView } from './broker-view.ts';

const title = 'broker: JWKS';

/** Whether the keys that services verify by are usable, public, and those that tokens are signed with. */
export const keys: Inspection<BrokerView> = {
  title,
  async inspect({ discovery, keys: read, sources, vault }) {
    // Nothing answers, or there is no discovery document: said already.
    const { jwks_uri: address } = bodyOf(await discovery());
    const answer = await read();
    if (typeof address !== 'string' || answer === undefined) return [];
    const ISSUER = 'The address is made of POSTERN_ISSUER: services read the keys there.';
    if ('silence' in answer) {
      const { why, remedy } = answer.silence;
      return [
        failed(title, `jwks_uri ${address} cannot be reached from here: ${why}`, remedy === undefined ? ISSUER : `${remedy} ${ISSUER}`),
      ];
    }
    if (answer.status !== 200)
      return [failed(title, `jwks_uri ${address} answers ${answer.status}`, `${ISSUER} Does what answers there lead to the broker?`)];
    const listed = answer.body['keys'];
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
