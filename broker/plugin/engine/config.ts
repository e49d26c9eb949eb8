import { z } from 'zod';
import { httpsOrLoopback } from '#broker/loopback.ts';
import { PosternError } from '#broker/error.ts';
import type { Invalid, Records } from './records.ts';

export const CONFIG_KEY = 'config';

/** Auth0 may take so long until each of its servers knows a rotated secret, ms; until then the one before is tried too. */
export const OVERLAP = 30_000;

const configDocument = z.object({
  /** With its trailing slash. */
  issuer: z.string().refine(isIssuer),
  client_id: z.string().min(1),
  client_secret: z.string().min(1),
  previous_client_secret: z.string().min(1).optional(),
  /** ms since 1970. */
  previous_until: z.number().optional(),
  /** Another application, which may rotate that secret; nothing else is asked in its name. */
  management: z.object({ client_id: z.string().min(1), client_secret: z.string().min(1) }).optional(),
  binding: z.enum(['action', 'organization']),
  tenant_claim: z.string(),
  /** Seconds: deadline of one call to Auth0. */
  timeout: z.number().int(),
  /** Seconds: least life left in a token that is handed out. */
  min_remaining: z.number().int(),
  /** When the secret was last written, and last rotated here; ms since 1970. */
  secret_written_at: z.number(),
  rotated_at: z.number().optional(),
});

export type Config = z.infer<typeof configDocument>;

/** The one configuration of a mount: kept in memory, read again when another node or a write changed it. */
export class Configuration {
  readonly #records: Records;
  readonly #onChange: () => void;
  #known: Promise<Config | undefined> | undefined;
  /** A rotated secret that storage did not take: the only copy but Auth0's own, so it is used and written again. */
  #unsaved: Config | undefined;

  /** @param onChange what was made from the old configuration is to be made anew */
  constructor(records: Records, onChange: () => void) {
    this.#records = records;
    this.#onChange = onChange;
  }

  /** @throws {PosternError} misconfigured; {BackendError} 503 */
  read(): Promise<Config | undefined> {
    if (this.#unsaved !== undefined) return Promise.resolve(this.#unsaved);
    if (this.#known === undefined) {
      const reading = this.#records.read(CONFIG_KEY, configDocument);
      this.#known = reading;
      reading.catch(() => {
        if (this.#known === reading) this.#known = undefined;
      });
    }
    return this.#known;
  }

  /** One after the other: what reads {@link stored} and writes accordingly. */
  alone<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#records.alone(CONFIG_KEY, work);
  }

  /** As it is stored now, or would be if storage had taken it: a change is made to this, and must not lose a rotated secret. */
  stored(): Promise<Config | Invalid | undefined> {
    return this.#unsaved === undefined ? this.#records.look(CONFIG_KEY, configDocument) : Promise.resolve(this.#unsaved);
  }

  /** @throws {ReadOnly}, {BackendError} 503 */
  async write(config: Config): Promise<void> {
    try {
      await this.#records.write(CONFIG_KEY, config, true);
      this.#unsaved = undefined;
    } finally {
      this.forget();
    }
  }

  async delete(): Promise<void> {
    try {
      await this.#records.delete(CONFIG_KEY);
      this.#unsaved = undefined;
    } finally {
      this.forget();
    }
  }

  forget(): void {
    this.#known = undefined;
    this.#onChange();
  }

  /** Keeps what could not be written; {@link save} tries again. */
  hold(config: Config): void {
    this.#unsaved = config;
    this.forget();
  }

  get unsaved(): boolean {
    return this.#unsaved !== undefined;
  }

  /** @throws {ReadOnly}, {BackendError} 503 */
  async save(): Promise<void> {
    if (this.unsaved) await this.alone(async () => (this.#unsaved === undefined ? undefined : this.write(this.#unsaved)));
  }

  /** Newest first. @throws {PosternError} misconfigured */
  async credential(now: number): Promise<{ readonly clientId: string; readonly clientSecrets: readonly string[] }> {
    const config = await this.read();
    if (config === undefined)
      throw new PosternError('misconfigured', 'The engine is not configured', {
        detail: 'write issuer, client_id and client_secret to config',
      });
    const { client_id: clientId, client_secret: secret, previous_client_secret: previous, previous_until: until = 0 } = config;
    return { clientId, clientSecrets: previous === undefined || until < now ? [secret] : [secret, previous] };
  }
}

/** The same configuration with another secret; the one before stays good for the overlap, if it is the same application's. */
export function withSecret(config: Config, clientId: string, clientSecret: string, now: number): Config {
  if (clientId === config.client_id && clientSecret === config.client_secret) return config;
  const { previous_client_secret: _, previous_until: __, ...rest } = config;
  return {
    ...rest,
    client_id: clientId,
    client_secret: clientSecret,
    secret_written_at: now,
    ...(clientId === config.client_id ? { previous_client_secret: config.client_secret, previous_until: now + OVERLAP } : {}),
  };
}

/** People write `acme.eu.auth0.com`, too. @returns with its trailing slash; undefined for what is not an issuer */
export function issuerOf(given: string): string | undefined {
  const url = URL.parse(given.includes('://') ? given : `https://${given}`);
  if (url === null || !isIssuer(url.href)) return undefined;
  return url.href;
}

function isIssuer(text: string): boolean {
  const url = URL.parse(text);
  return (
    url !== null &&
    url.href === text &&
    httpsOrLoopback(url) &&
    /^https?:$/.test(url.protocol) &&
    url.pathname === '/' &&
    url.search === '' &&
    url.hash === '' &&
    url.username === '' &&
    url.password === ''
  );
}
