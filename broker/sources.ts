import { auth0 } from './auth0/definition.ts';
import type { SourceChecks } from './doctor/source-checks.ts';
import { transit } from './transit/definition.ts';

/** What the folder of a token source exports. */
export interface SourceDefinition {
  /** As the documents of APIs name it. */
  readonly name: string;
  /** What it contributes to `postern doctor`. */
  checks(): Promise<SourceChecks>;
}

/** The registry: every token source there is. A new one is a folder and a line here. */
export const SOURCES = [transit, auth0] as const satisfies readonly SourceDefinition[];
