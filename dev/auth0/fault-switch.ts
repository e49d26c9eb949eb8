/** What goes wrong on purpose, for as long as it is set. */
export type Fault =
  /** 429 as Auth0 answers it. `retryAfter` in seconds. */
  | { kind: 'rate_limit'; retryAfter?: number }
  /** Any status with a body that isn't OAuth's, as a proxy in front of Auth0 answers. */
  | { kind: 'status'; status: number }
  /** The request is read and never answered. */
  | { kind: 'hang' }
  /** The connection is cut without an answer. */
  | { kind: 'reset' }
  /** The answer comes, but late. */
  | { kind: 'delay'; milliseconds: number }
  /** A good answer of a clock that is so far ahead, ms; its tokens' times too where that is told. */
  | { kind: 'clock'; milliseconds: number; tokens?: boolean }
  /** A good answer with a token that a key has signed which nobody publishes, under the name of one that is. */
  | { kind: 'key' }
  /** A good answer with a wrong token: these claims overwrite the true ones, `undefined` takes one away. */
  | { kind: 'claims'; claims: Record<string, unknown> };

export type Endpoint = 'token' | 'jwks' | 'discovery' | 'authorize' | 'management';

interface Standing {
  fault: Fault;
  endpoint: Endpoint;
  left: number;
}

/** The programmable switch. Faults of one endpoint are used up in the order in which they were set. */
export class FaultSwitch {
  #standing: Standing[] = [];

  /** @param times requests that it lasts; default until `clear` */
  set(fault: Fault, options: { endpoint?: Endpoint; times?: number } = {}): void {
    this.#standing.push({ fault, endpoint: options.endpoint ?? 'token', left: options.times ?? Number.POSITIVE_INFINITY });
  }

  clear(): void {
    this.#standing = [];
  }

  /** The fault for the next request to this endpoint, used up by asking. */
  take(endpoint: Endpoint): Fault | undefined {
    const standing = this.#standing.find((candidate) => candidate.endpoint === endpoint);
    if (!standing) return undefined;
    standing.left -= 1;
    if (standing.left <= 0) this.#standing.splice(this.#standing.indexOf(standing), 1);
    return standing.fault;
  }
}
