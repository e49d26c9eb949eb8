import type { JSONWebKeySet } from 'jose';

/** The port to the public keys that our own tokens verify with (RFC 7517). */
export interface KeySet {
  /** As they were known a moment ago. */
  jwks(): JSONWebKeySet | Promise<JSONWebKeySet>;
  /** What `/.well-known/jwks.json` serves: not older than the question, where that can be had. */
  published(): JSONWebKeySet | Promise<JSONWebKeySet>;
  /** How many there were when they were last read; undefined before that, and where nobody reads them. */
  readonly known?: number | undefined;
  /**
   * Whether a token that names this key is good for whoever reads the set now; true where that isn't known. Never waits: what is too old is
   * read again behind it.
   */
  has?(kid: string): boolean;
}
