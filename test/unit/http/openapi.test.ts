import { describe, expect, test } from 'vitest';
import { metadataOf } from '#broker/http/metadata.ts';
import { openApiDocument } from '#broker/http/openapi.ts';
import { PRESENTED_PARAMETERS } from '#broker/http/presented-token.ts';
import { GRANTS } from '#broker/http/token-endpoint.ts';
import { Demands } from '#broker/http/verify-demand.ts';

interface Schema {
  properties: Record<string, { type?: unknown; maxLength?: number; description?: string }>;
  required: string[];
}
interface Operation {
  requestBody?: { content: Record<string, { schema: Schema & { oneOf: Schema[] } }> };
  parameters?: { name: string; required: boolean; schema: { pattern: string } }[];
  responses: Record<string, { description: string; headers: Record<string, { required?: boolean }> }>;
}

const document = openApiDocument({ version: '0.0.0', maxAge: 300 }) as {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
};
const operation = (path: string, method = 'post'): Operation => document.paths[path]![method]!;
const bodyOf = (path: string) => operation(path).requestBody!.content['application/x-www-form-urlencoded']!.schema;

describe('the OpenAPI document of the OAuth endpoints', () => {
  test('has the parameters of each grant, those that are needed, and the refused ones with no value that is taken', () => {
    const schemas = bodyOf('/oauth/token').oneOf;
    expect(schemas.map(({ properties }) => Object.keys(properties))).toEqual(GRANTS.map(({ parameters }) => Object.keys(parameters)));
    expect(schemas.map(({ required }) => required)).toEqual([
      ['grant_type'],
      ['grant_type', 'subject_token', 'subject_token_type'],
      ['grant_type', 'assertion'],
    ]);
    expect(schemas[1]!.properties['actor_token']).toMatchObject({ maxLength: 0 });
  });

  test.each(['/oauth/introspect', '/oauth/revoke'])('%s takes what a presented token needs', (path) => {
    expect(Object.keys(bodyOf(path).properties)).toEqual(Object.keys(PRESENTED_PARAMETERS));
    expect(bodyOf(path).required).toEqual(['token']);
  });

  test('names the status of each code in both dialects', () => {
    const { responses } = operation('/oauth/token');
    expect(Object.keys(responses)).toEqual(['200', '400', '401', '403', '408', '413', '415', '429', '431', '503']);
    expect(responses['400']!.description).toContain('No client authentication');
    expect(responses['401']!.description).toContain('No client authentication');
    expect(responses['401']!.headers['WWW-Authenticate']).toMatchObject({ required: false });
    // There it is 401 in both.
    expect(operation('/oauth/introspect').responses['400']!.description).toBe('Malformed.');
  });

  test('patterns of /verify are what is accepted there', () => {
    const [audience, scope] = operation('/verify', 'get').parameters!;
    expect([audience!.required, scope!.required]).toEqual([true, false]);
    const demands = new Demands();
    const accepted = (query: string): boolean => {
      try {
        return demands.of(`/verify?${query}`) !== undefined;
      } catch {
        return false;
      }
    };
    for (const text of ['a', 'a'.repeat(1024), 'a'.repeat(1025), 'a b', 'https://x.example/y'])
      expect(accepted(`audience=${encodeURIComponent(text)}`)).toBe(new RegExp(audience!.schema.pattern).test(text));
    for (const text of ['a', 'a b', 'a"b', 'a'.repeat(256), 'a'.repeat(257), Array(100).fill('s').join(' ')])
      expect(accepted(`audience=a&scope=${encodeURIComponent(text)}`)).toBe(new RegExp(scope!.schema.pattern).test(text));
  });

  test('has every member of the metadata', () => {
    expect(document.components.schemas['Metadata']!.required).toEqual(Object.keys(metadataOf('https://a.example/')));
  });
});
