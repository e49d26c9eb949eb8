import { z } from 'zod';
import type { BackendResponse } from '#broker/plugin/backend.ts';
import type { Fields } from './field.ts';
import type { Operation, Path, Paths } from './path.ts';

/** What the engine says of itself to `vault path-help` on its root. */
export interface About {
  readonly title: string;
  readonly description: string;
  readonly version: string;
}

/**
 * The answer to Vault's `help` operation, as `sdk/framework` gives it: `help`, `see_also`, `openapi`.
 * @param requested empty for the root
 * @throws {BackendError} 404
 */
export function help(paths: Paths, about: About, requested: string): BackendResponse {
  if (requested === '' || requested === '/')
    return { data: { help: rootHelp(paths, about), see_also: null, openapi: openApi(paths.all, about) } };
  const path = findForHelp(paths, requested);
  return { data: { help: pathHelp(path), see_also: null, openapi: openApi([path], about) } };
}

/** People ask for help by the pattern, too: `path-help auth0/roles/:tenant`. */
function findForHelp(paths: Paths, requested: string): Path {
  const plain = requested.replace(/\/$/, '');
  return paths.all.find(({ pattern }) => pattern === plain || pattern.replaceAll(/:(\w+)/g, '<$1>') === plain) ?? paths.find(plain).path;
}

function rootHelp(paths: Paths, { title, description }: About): string {
  const lines = paths.all.map(({ pattern, synopsis }) => `    ${shown(pattern)}\n        ${synopsis}\n`);
  return [
    `## DESCRIPTION\n\n${title}\n\n${description}`,
    '## PATHS\n\nEach has its own help: `vault path-help <mount>/config`, say.',
    lines.join('\n'),
  ].join('\n\n');
}

function pathHelp({ pattern, synopsis, description, parameters, operations }: Path): string {
  const names = Object.entries(parameters).map(
    ([called, parameter]) => `    ${called} (in the path)\n        ${parameter.description} It ${parameter.rule}.\n`,
  );
  const calls = Object.entries(operations).map(([verb, { summary, fields }]) => {
    const takes = Object.keys(fields);
    return `    ${verb.padEnd(7)} ${summary}${takes.length > 0 ? `\n            Takes ${takes.join(', ')}.` : ''}\n`;
  });
  const fields = Object.entries(fieldsOf(operations)).map(
    ([called, field]) =>
      `    ${called} (${kindOf(field)}${isRequired(field) ? ', required' : ''})\n        ${schemaOf(field).description}\n`,
  );
  return [
    `Path:    ${shown(pattern)}\n\n## SYNOPSIS\n\n${synopsis}`,
    `## OPERATIONS\n\n${calls.join('\n')}`,
    ...(names.length + fields.length > 0 ? [`## PARAMETERS\n\n${[...names, ...fields].join('\n')}`] : []),
    `## DESCRIPTION\n\n${description}\n`,
  ].join('\n\n');
}

function shown(pattern: string): string {
  return pattern.replaceAll(/:(\w+)/g, '<$1>');
}

function fieldsOf(operations: Path['operations']): Fields {
  return Object.assign({}, ...Object.values(operations).map(({ fields }) => fields)) as Fields;
}

/** OpenAPI 3.0.2 of the kind that Vault puts together for `sys/internal/specs/openapi` and its UI. */
function openApi(paths: readonly Path[], { title, version }: About): Readonly<Record<string, unknown>> {
  return {
    openapi: '3.0.2',
    info: {
      title,
      description: 'A secrets engine of Postern.',
      version: version.replace(/^v/, ''),
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    paths: Object.fromEntries(
      paths.map((path) => [
        `/${path.pattern.replaceAll(/:(\w+)/g, '{$1}')}${Object.keys(path.operations).join() === 'list' ? '/' : ''}`,
        pathItem(path),
      ]),
    ),
  };
}

function pathItem(path: Path): Readonly<Record<string, unknown>> {
  const { pattern, synopsis, parameters, operations } = path;
  const { read, write, list, delete: remove } = operations;
  return {
    description: synopsis,
    ...(path.exists === undefined ? {} : { 'x-vault-createSupported': true }),
    parameters: Object.entries(parameters).map(([called, { description }]) => ({
      name: called,
      in: 'path',
      required: true,
      description,
      schema: { type: 'string' },
    })),
    ...(read
      ? { get: call('read', pattern, read, queryOf(read.fields)) }
      : list
        ? {
            get: call('list', pattern, list, [
              {
                name: 'list',
                in: 'query',
                required: true,
                description: 'Must be set to `true`',
                schema: { type: 'string', enum: ['true'] },
              },
            ]),
          }
        : {}),
    ...(write ? { post: { ...call('write', pattern, write, []), ...bodyOf(write.fields) } } : {}),
    ...(remove ? { delete: call('delete', pattern, remove, []) } : {}),
  };
}

function call(verb: string, pattern: string, { summary }: Operation, parameters: readonly unknown[]): Readonly<Record<string, unknown>> {
  const id = `postern-${verb}-${pattern.replaceAll(/[:/]+/g, '-')}`;
  return {
    summary,
    operationId: id,
    tags: ['secrets'],
    ...(parameters.length > 0 ? { parameters } : {}),
    responses: { 200: { description: 'OK' } },
  };
}

function queryOf(fields: Fields): readonly unknown[] {
  return Object.entries(fields).map(([called, field]) => {
    const { description, ...schema } = schemaOf(field);
    return { name: called, in: 'query', required: isRequired(field), description, schema };
  });
}

function bodyOf(fields: Fields): Readonly<Record<string, unknown>> {
  const entries = Object.entries(fields);
  if (entries.length === 0) return {};
  const required = entries.filter(([, field]) => isRequired(field)).map(([called]) => called);
  const properties = Object.fromEntries(entries.map(([called, field]) => [called, schemaOf(field)]));
  return {
    requestBody: {
      required: true,
      content: { 'application/json': { schema: { type: 'object', properties, ...(required.length > 0 ? { required } : {}) } } },
    },
  };
}

function isRequired(field: z.ZodType): boolean {
  return !(field instanceof z.ZodOptional);
}

/** Of the value that a field becomes: what else Vault's CLI may send for it is in the description. */
function schemaOf(field: z.ZodType): z.core.JSONSchema.BaseSchema {
  return z.toJSONSchema(field, { target: 'openapi-3.0', io: 'output' });
}

/** As Vault calls the types of its own fields. */
function kindOf(field: z.ZodType): string {
  const { type, format } = schemaOf(field);
  if (type === 'array') return 'list';
  return format === 'seconds' ? 'duration' : String(type);
}
