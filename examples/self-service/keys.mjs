/** A refusal of the self-service API (RFC 9457). Its message is for the person who asked. */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Postern's self-service API. Each call carries the access token of the person for whom it is made. */
export class SelfService {
  #issuer;

  /** @param issuer POSTERN_ISSUER of the brokers, with its trailing slash */
  constructor(issuer) {
    this.#issuer = issuer;
  }

  /** Who this person is there, which scopes their keys may have, and how long a key may live (s). */
  me(token) {
    return this.#call(token, 'GET', 'me');
  }

  /** @param of `me`, or `organization` for its administrators. Oldest first. */
  async list(token, of = 'me') {
    const keys = [];
    for (let cursor; cursor !== null; ) {
      const query = new URLSearchParams({ of, limit: '100', ...(cursor === undefined ? {} : { cursor }) });
      const page = await this.#call(token, 'GET', `keys?${query}`);
      keys.push(...page.keys);
      cursor = page.next_cursor;
    }
    return keys;
  }

  /** @param attempt 20 random characters or more, the same when the same form is sent twice: no second key is made then */
  create(token, { name, scopes, ttl }, attempt) {
    return this.#call(token, 'POST', 'keys', { name, scopes, ttl }, attempt);
  }

  /** @param overlap seconds for which the old key goes on */
  rotate(token, keyId, { overlap }, attempt) {
    return this.#call(token, 'POST', `keys/${encodeURIComponent(keyId)}/rotate`, { overlap }, attempt);
  }

  revoke(token, keyId) {
    return this.#call(token, 'DELETE', `keys/${encodeURIComponent(keyId)}`);
  }

  async #call(token, method, path, body, attempt) {
    const response = await fetch(`${this.#issuer}self/v1/${path}`, {
      method,
      headers: {
        Authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...(attempt === undefined ? {} : { 'Idempotency-Key': attempt }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      redirect: 'error',
      signal: AbortSignal.timeout(15_000),
    }).catch(() => {
      throw new Problem(503, 'The key service does not answer. Try again: nothing is done twice.');
    });
    if (response.status === 204) return undefined;
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    throw new Problem(response.status, answer.detail ?? 'The key service refused.');
  }
}
