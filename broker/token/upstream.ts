/** The one credential at an outside issuer that all tenants share. */
export interface UpstreamCredential {
  readonly clientId: string;
  /** Newest first: a rotated secret may take a while (at Auth0 up to 30 s) to be known everywhere. */
  readonly clientSecrets: readonly string[];
}

/** The port to where that credential is kept. */
export interface UpstreamReader {
  /** @throws {PosternError} temporarily_unavailable; misconfigured where there is none */
  readUpstream(): Promise<UpstreamCredential>;
}
