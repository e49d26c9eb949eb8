import type { VaultAccess } from '#broker/operator/access.ts';
import { failed, ok, warning } from './check.ts';
import type { Check } from './check.ts';
import type { SourceChecks } from './source-checks.ts';
import { sourceView } from './source-view.ts';

const TIMEOUT_MS = 5_000;

interface Answer {
  status: number;
  body: Record<string, unknown>;
}

/**
 * Whether a broker serves, and whether what services read of it fits.
 * @param url with its slash
 * @param sources the one whose keys it publishes compares them
 */
export async function inspectBroker(
  url: string,
  access: VaultAccess,
  sources: readonly SourceChecks[],
  onCheck: (check: Check) => void,
): Promise<Check[]> {
  const checks: Check[] = [];
  const take = (check: Check): void => {
    checks.push(check);
    onCheck(check);
  };
  const ready = await ask(url, 'readyz');
  take(readiness(url, ready));
  if (ready === undefined) return checks;
  const discovery = await ask(url, '.well-known/openid-configuration');
  const { issuer, jwks_uri: jwksUri } = discovery?.body ?? {};
  if (typeof issuer !== 'string' || typeof jwksUri !== 'string') {
    take(failed('broker: discovery', 'there is no discovery document', 'Is --url the broker itself, without a path?'));
    return checks;
  }
  // Services compare the issuer letter by letter, and read the document below it.
  if (issuer === url) take(ok('broker: discovery', issuer));
  else
    take(
      warning(
        'broker: discovery',
        `the issuer is ${issuer}, and you asked at ${url}`,
        'Right where the two are one broker (a load balancer, say); else set POSTERN_ISSUER.',
      ),
    );
  const jwks = await ask(jwksUri);
  take(await keysCheck(jwks, access, sources));
  return checks;
}

function readiness(url: string, ready: Answer | undefined): Check {
  const title = 'broker: ready';
  if (ready === undefined) return failed(title, `nothing answers at ${url}`, 'Is it started, and is --url right?');
  if (ready.status === 200) return ok(title, url);
  const missing = Array.isArray(ready.body['missing']) ? ready.body['missing'].map(String).join(', ') : '';
  return failed(title, `not ready (${ready.status})${missing === '' ? '' : `: ${missing}`}`, 'Its log says why.');
}

async function keysCheck(jwks: Answer | undefined, access: VaultAccess, sources: readonly SourceChecks[]): Promise<Check> {
  const title = 'broker: JWKS';
  const keys = Array.isArray(jwks?.body['keys']) ? (jwks.body['keys'] as Record<string, unknown>[]) : [];
  if (keys.length === 0)
    return failed(title, 'there are no keys, so no token can be verified', 'Can the broker read its signing key? See its log.');
  const poor = keys.filter(({ kid, alg, use, kty }) => typeof kid !== 'string' || alg !== 'RS256' || use !== 'sig' || kty !== 'RSA');
  if (poor.length > 0)
    return failed(
      title,
      `${poor.length} of ${keys.length} keys lack kid, alg or use`,
      'This is not what this version of the broker serves: what answers there?',
    );
  const private_ = keys.some((key) => 'd' in key);
  if (private_) return failed(title, 'a private key is served', 'Take it offline, and rotate the key.');
  for (const { name, published } of sources) if (published !== undefined) return published(title, keys, sourceView(access, name));
  return ok(title, `${keys.length} key${keys.length === 1 ? '' : 's'}`);
}

async function ask(base: string, path?: string): Promise<Answer | undefined> {
  try {
    const response = await fetch(path === undefined ? base : new URL(path, base), {
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const body: unknown = await response.json().catch(() => undefined);
    return { status: response.status, body: typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {} };
  } catch {
    return undefined;
  }
}
