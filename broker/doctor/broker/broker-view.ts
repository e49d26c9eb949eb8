import { once } from '#broker/doctor/view.ts';
import type { View } from '#broker/doctor/view.ts';
import type { SourceChecks } from '#broker/doctor/source-checks.ts';

const TIMEOUT_MS = 5_000;

export interface Answer {
  readonly status: number;
  /** Empty where it wasn't a JSON object. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** What the checks see of a running broker. undefined: nothing answers within 5 s. */
export interface BrokerView {
  /** With its slash. */
  readonly url: string;
  readonly vault: View;
  /** The one whose keys the broker publishes compares them. */
  readonly sources: readonly SourceChecks[];
  readonly ready: () => Promise<Answer | undefined>;
  readonly discovery: () => Promise<Answer | undefined>;
  /** What the discovery document points to. */
  readonly keys: () => Promise<Answer | undefined>;
}

/** @param url with its slash */
export function brokerView(url: string, vault: View, sources: readonly SourceChecks[]): BrokerView {
  const discovery = once(() => ask(new URL('.well-known/openid-configuration', url)));
  return {
    url,
    vault,
    sources,
    ready: once(() => ask(new URL('readyz', url))),
    discovery,
    async keys() {
      const { jwks_uri: address } = (await discovery())?.body ?? {};
      return typeof address === 'string' ? ask(address) : undefined;
    },
  };
}

async function ask(url: string | URL): Promise<Answer | undefined> {
  try {
    const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) });
    const body: unknown = await response.json().catch(() => undefined);
    return { status: response.status, body: typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {} };
  } catch {
    return undefined;
  }
}
