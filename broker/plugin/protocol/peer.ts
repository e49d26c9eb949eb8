import { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';

/**
 * The Vault that started this process, known by its certificate alone. The certificate is compared, not only verified:
 * it is a CA, so that a chain to it would do for any certificate that it had signed.
 */
export class Peer {
  readonly pem: string;
  readonly #der: Buffer;

  /** @throws TypeError when the text is not a certificate */
  constructor(pem: string) {
    try {
      const certificate = new X509Certificate(pem);
      this.pem = certificate.toString();
      this.#der = certificate.raw;
    } catch {
      throw new TypeError('PLUGIN_CLIENT_CERT holds no certificate');
    }
  }

  is(der: Uint8Array | undefined): boolean {
    return der !== undefined && this.#der.equals(der);
  }

  /** Whether Vault is at the other end: it has shown that it holds the certificate's key, or there were no connection. */
  holds(socket: TLSSocket): boolean {
    return socket.authorized && this.is(socket.getPeerX509Certificate()?.raw);
  }
}
