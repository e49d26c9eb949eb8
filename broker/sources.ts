import type { ZodType } from 'zod';
import { auth0 } from './auth0/definition.ts';
import type { Clocks } from './clock.ts';
import type { SourceChecks } from './doctor/source-checks.ts';
import type { ConfiguredSource } from './token/source.ts';
import type { Meter } from './quota/meter.ts';
import type { UpstreamReader } from './token/upstream.ts';
import { transit } from './transit/definition.ts';
import type { VaultClient } from './vault/client.ts';
import type { VaultSession } from './vault/session.ts';

/** What the broker has for every source. */
export interface SourceSurroundings {
  readonly client: VaultClient;
  /** The broker's own login. */
  readonly session: VaultSession;
  /** The broker's own, with its trailing slash. */
  readonly issuer: string;
  /** The namespaced claim that names the tenant. */
  readonly tenantClaim: string;
  /** How long verifiers may keep the broker's key set, ms. */
  readonly jwksMaxAgeMs: number;
  /** The one credential at the issuer of the source of this name. */
  readonly upstream: (source: string) => UpstreamReader;
  /** Counts tokens that their issuer counts. */
  readonly meter?: Meter | undefined;
  readonly warn: (error: unknown, message: string) => void;
  readonly clock?: Clocks | undefined;
  /** Asks issuers elsewhere. Default: the global one. */
  readonly fetch?: typeof fetch | undefined;
}

/** What the folder of a token source exports as `definition.ts`. */
interface SourceDefinition {
  /** As the documents of APIs name it. */
  readonly name: string;
  /** Environment variable -> what it holds. */
  readonly settings: Readonly<Record<string, ZodType>>;
  /** @returns undefined where the settings don't name its issuer */
  configure(settings: never, surroundings: SourceSurroundings): ConfiguredSource | undefined;
  /** What it contributes to `postern doctor`. */
  checks(): Promise<SourceChecks>;
}

/** The registry of token sources. A new one is a folder and a line here. */
export const SOURCES = [transit, auth0] as const satisfies readonly SourceDefinition[];

export const SOURCE_NAMES: readonly string[] = SOURCES.map(({ name }) => name);
