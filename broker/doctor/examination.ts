import type { VaultAccess } from '#broker/operator/access.ts';
import type { Progress } from '#broker/operator/secret/secret-id.ts';
import type { VaultHealth } from '#broker/vault/client.ts';
import { brokerView } from './broker/broker-view.ts';
import { skipped } from './check.ts';
import type { Check } from './check.ts';
import { look } from './inspection.ts';
import type { Inspection } from './inspection.ts';
import { IN_VAULT, ON_BROKER } from './inspections.ts';
import { inWordsOf } from './remedy.ts';
import type { IssuerQuestion, SourceChecks } from './source-checks.ts';
import { SAMPLE } from './sample.ts';
import { sourceView } from './source-view.ts';
import { viewOf } from './view.ts';
import type { IssuerLook } from './view.ts';

export interface ExaminationOptions {
  /** Of every token source: what its folder contributes. */
  readonly sources: readonly SourceChecks[];
  /** Of the broker, with its slash; undefined: it isn't looked at. */
  readonly broker: string | undefined;
  readonly issuers: IssuerQuestion;
  /** Of workloads that tenants trust. */
  readonly issuerKeys: IssuerLook;
  /** Most tenants that are looked at one by one; {@link SAMPLE} unless told. */
  readonly most?: number | undefined;
  /** Called after each check. */
  readonly onCheck?: (check: Check) => void;
  /** Says how far what it does for each tenant is. */
  readonly progress?: (what: string) => Progress;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Looks at everything that Postern needs, in Vault, on a running broker and at the issuers. What is found never throws: each
 * fault is a check with its remedy.
 * @throws {PosternError} invalid_request where the options or the environment name an issuer wrongly
 */
export async function examine(access: VaultAccess, options: ExaminationOptions): Promise<Check[]> {
  const { sources, broker, signal } = options;
  const checks: Check[] = [];
  const view = viewOf(access, {
    sources: sources.map(({ name }) => name),
    issuerKeys: options.issuerKeys,
    most: options.most ?? SAMPLE,
    progress: options.progress,
    signal,
  });
  let product: VaultHealth['product'] = 'Vault';
  const told = (found: Check): void => {
    const check = inWordsOf(product, found);
    checks.push(check);
    options.onCheck?.(check);
  };
  /** @returns false where an inspection that decides has failed */
  const run = async <V>(inspections: readonly Inspection<V>[], seen: V): Promise<boolean> => {
    for (const inspection of inspections) {
      signal?.throwIfAborted();
      const found = await look(inspection, seen);
      // Known once the first one has asked; where nothing answers, remedies are in Vault's words.
      product = (await view.health().catch(() => undefined))?.product ?? product;
      found.forEach(told);
      if (inspection.decides && found.some(({ status }) => status === 'failed')) return false;
    }
    return true;
  };
  const issuers = await Promise.all(sources.map(async ({ name, atIssuer }) => ({ name, opened: await atIssuer?.(options.issuers) })));
  const vaultAnswers = await run(IN_VAULT, view);
  if (vaultAnswers) for (const source of sources) await run(source.inVault, sourceView(view, source.name));
  if (broker !== undefined) await run(ON_BROKER, brokerView(broker, view, sources));
  for (const { name, opened } of issuers)
    if (typeof opened === 'function' && vaultAnswers)
      checks.push(...(await opened({ view: sourceView(view, name), onCheck: (check) => options.onCheck?.(check), signal })));
  if (broker === undefined) told(skipped('broker', 'not looked at', 'Name it with --url or POSTERN_URL.'));
  for (const { opened } of issuers) if (opened !== undefined && typeof opened !== 'function') told(opened);
  return checks;
}
