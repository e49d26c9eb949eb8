import { describedAs, documentOf } from '#broker/admin/openapi.ts';
import type { SelfOperation } from './operation.ts';

type Json = Record<string, unknown>;

/** The OpenAPI 3.1 document of the self-service API, made of the very definitions by which it is served. */
export function selfDocument(operations: readonly SelfOperation[], version: string): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const one of operations) (paths[one.path] ??= {})[one.method.toLowerCase()] = describedAs(one, one.description, [{ jwt: [] }]);
  const description =
    "For people who make API keys of their own, with their own Auth0 access token. Vault decides which tenant's keys that reaches; " +
    'see docs/user-keys.md.';
  return documentOf({ title: 'Postern self-service API', version, description }, operations, paths, {
    jwt: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: "A person's Auth0 access token, of one organization." },
  });
}
