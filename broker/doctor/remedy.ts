import type { VaultHealth } from '#broker/vault/client.ts';
import type { Check } from './check.ts';

/** Remedies name commands of Vault's CLI; OpenBao's has the same ones, and is called `bao`. */
export function inWordsOf(product: VaultHealth['product'], check: Check): Check {
  if (product === 'Vault') return check;
  const remedy = check.remedy.replaceAll(
    /\bvault (?=(?:audit|auth|delete|kv|lease|list|login|operator|path-help|plugin|policy|read|secrets|status|token|unwrap|write)\b)/g,
    'bao ',
  );
  return { ...check, remedy };
}
