import { PosternError } from '#broker/error.ts';
import { findOpenBao } from './openbao.ts';
import { type Part, type Report, toStderr } from './part.ts';
import { findVault } from './vault.ts';

/** The products that Postern works on. */
export const PRODUCTS = ['vault', 'openbao'] as const;
export type Product = (typeof PRODUCTS)[number];

/** How people call it. */
export const PRODUCT_NAME: Readonly<Record<Product, string>> = { vault: 'Vault', openbao: 'OpenBao' };

/**
 * Which of them the demo, `make dev` and the tests start: `POSTERN_VAULT_PRODUCT`, else Vault.
 * @throws PosternError `misconfigured` for another word
 */
export function productOf(env: NodeJS.ProcessEnv = process.env): Product {
  const word = env['POSTERN_VAULT_PRODUCT'] || 'vault';
  const product = PRODUCTS.find((name) => name === word);
  if (product === undefined)
    throw new PosternError('misconfigured', `"${word}" is no product that Postern works on: ${PRODUCTS.join(' or ')}.`);
  return product;
}

/** The server's program of the product that the environment asks for. @throws PosternError `misconfigured` when it can't be had */
export function findServer(report: Report = toStderr, env: NodeJS.ProcessEnv = process.env): Promise<Part> {
  return productOf(env) === 'openbao' ? findOpenBao(report, env) : findVault(report, env);
}
