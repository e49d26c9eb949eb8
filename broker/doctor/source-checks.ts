import type { Api } from '#broker/authorization/documents.ts';
import type { Mounts } from '#broker/mounts.ts';
import type { Check } from './check.ts';

/** What a token source sees of Vault, with the operator's token. */
export interface SourceView {
  /** The source's name. */
  readonly source: string;
  readonly mounts: Mounts;
  /**
   * @param doing completes "Vault refuses to …"
   * @returns the data; undefined where there is nothing
   * @throws {PosternError} with the remedy in its detail
   */
  readonly read: (doing: string, path: string) => Promise<Readonly<Record<string, unknown>> | undefined>;
  /** Of the credential at its issuer; version 0: never set. @throws {PosternError} */
  credential(): Promise<{ readonly version: number; readonly updated_at: string | null }>;
  /** The APIs that name this source. @throws {PosternError} */
  apis(): Promise<readonly Api[]>;
  /** Tenants that are granted one of them. @throws {PosternError} */
  tenants(): Promise<readonly { readonly tenant: string; readonly organization: string | null }[]>;
}

/** What whoever runs `postern doctor` says of the issuers. */
export interface IssuerQuestion {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The options of the command. */
  readonly binding: string | undefined;
  readonly clientId: string | undefined;
}

/** Looks at the issuer itself. */
export type IssuerInspection = (look: {
  readonly view: SourceView;
  readonly onCheck: (check: Check) => void;
  readonly signal: AbortSignal | undefined;
}) => Promise<Check[]>;

/** What the folder of a token source contributes to `postern doctor`. */
export interface SourceChecks {
  /** As the documents of APIs name it. */
  readonly name: string;
  /** What it needs in Vault. A check that Vault refuses to make is skipped, one that throws has failed. */
  readonly inVault: readonly { readonly title: string; readonly inspect: (view: SourceView) => Promise<Check[]> }[];
  /** Compares the keys that a broker publishes with those that this source signs with; for the source whose issuer is the broker. */
  readonly published?: (title: string, keys: readonly Readonly<Record<string, unknown>>[], view: SourceView) => Promise<Check>;
  /**
   * Opens the way to the issuer itself, by what the environment and the options of the command say.
   * @returns a skipped check where they don't name it
   * @throws {PosternError} invalid_request
   */
  readonly atIssuer?: (question: IssuerQuestion) => Promise<IssuerInspection | Check>;
}
