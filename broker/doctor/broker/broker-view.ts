import { MAX_DOCUMENT, boundedFetch } from '#broker/bounded-fetch.ts';
import { once } from '#broker/doctor/view.ts';
import type { View } from '#broker/doctor/view.ts';
import { silenceOf } from '#broker/silence.ts';
import type { Silence } from '#broker/silence.ts';
import type { SourceChecks } from '#broker/doctor/source-checks.ts';

const TIMEOUT_MS = 5_000;

export interface Answer {
  readonly status: number;
  /** Empty where it wasn't a JSON object. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** No answer within 5 s, and why. */
export interface Unanswered {
  readonly url: string;
  readonly silence: Silence;
}

/** What the checks see of a running broker. */
export interface BrokerView {
  /** With its slash. */
  readonly url: string;
  readonly vault: View;
  /** The one whose keys the broker publishes compares them. */
  readonly sources: readonly SourceChecks[];
  readonly ready: () => Promise<Answer | Unanswered>;
  readonly discovery: () => Promise<Answer | Unanswered>;
  /** What the discovery document points to; undefined where it points nowhere. */
  readonly keys: () => Promise<Answer | Unanswered | undefined>;
}

/** @param url with its slash */
export function brokerView(url: string, vault: View, sources: readonly SourceChecks[]): BrokerView {
  const discovery = once(() => ask(new URL('.well-known/openid-configuration', url).href));
  return {
    url,
    vault,
    sources,
    ready: once(() => ask(new URL('readyz', url).href)),
    discovery,
    async keys() {
      const { jwks_uri: address } = bodyOf(await discovery());
      return typeof address === 'string' ? ask(address) : undefined;
    },
  };
}

/** Nothing where nothing answered. */
export function bodyOf(answer: Answer | Unanswered | undefined): Answer['body'] {
  return answer !== undefined && 'body' in answer ? answer.body : {};
}

async function ask(url: string): Promise<Answer | Unanswered> {
  try {
    const response = await boundedFetch(MAX_DOCUMENT)(url, { redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) });
    const body: unknown = await response.json().catch(() => undefined);
    return { status: response.status, body: typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {} };
  } catch (error) {
    return { url, silence: silenceOf(error) };
  }
}
