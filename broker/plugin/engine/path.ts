import { NAME } from '#broker/credential/identity.ts';
import { BackendError } from '#broker/plugin/backend.ts';
import type { BackendRequest, BackendResponse } from '#broker/plugin/backend.ts';
import type { Fields, Values } from './field.ts';
import { Input, InputFault } from './input.ts';

/** A variable part of a path. */
export interface Parameter {
  readonly pattern: RegExp;
  /** What the pattern asks for, in words. */
  readonly rule: string;
  readonly description: string;
}

/** A tenant's or an API's name: nothing else becomes a part of a storage key. */
export function name(description: string): Parameter {
  return { pattern: NAME, rule: 'must be 1 to 63 characters of a-z, 0-9 and -, with a letter or digit at both ends', description };
}

export interface Call<Names extends string, F extends Fields> {
  readonly names: Readonly<Record<Names, string>>;
  readonly values: Values<F>;
  readonly request: BackendRequest;
}

type Verb = 'read' | 'write' | 'delete' | 'list';
type Answer = BackendResponse | undefined | Promise<BackendResponse | undefined>;

export interface Operation {
  readonly summary: string;
  readonly fields: Fields;
  readonly input: Input<Fields>;
  handle(call: Call<string, Fields>): Answer;
}

/** One path of the engine. */
export interface Path {
  /** e.g. `roles/:tenant`. */
  readonly pattern: string;
  readonly synopsis: string;
  readonly description: string;
  readonly parameters: Readonly<Record<string, Parameter>>;
  readonly operations: Readonly<Partial<Record<Verb, Operation>>>;
  /** Whether a write is an update; left out where nothing is ever created. */
  exists?(names: Readonly<Record<string, string>>): Promise<boolean>;
}

/** Checks a handler's types against its fields, and forgets them. */
export function operation<Names extends string, F extends Fields>(definition: {
  readonly summary: string;
  readonly fields?: F;
  handle(call: Call<Names, F>): Answer;
}): Operation {
  const { summary, fields = {} as F } = definition;
  return { summary, fields, input: new Input(fields), handle: (call) => definition.handle(call as unknown as Call<Names, F>) };
}

export interface Match {
  readonly path: Path;
  readonly names: Readonly<Record<string, string>>;
}

interface Route {
  readonly path: Path;
  readonly segments: readonly { readonly literal?: string; readonly parameter?: string }[];
}

/** The engine's paths: finds the one of a request, checks its parameters, and calls it. */
export class Paths {
  readonly all: readonly Path[];
  /** By first segment and length. */
  readonly #routes = new Map<string, Route[]>();

  constructor(paths: readonly Path[]) {
    this.all = paths;
    for (const path of paths) {
      const segments = path.pattern.split('/').map((part) => (part.startsWith(':') ? { parameter: part.slice(1) } : { literal: part }));
      const key = `${segments[0]?.literal} ${segments.length}`;
      this.#routes.set(key, [...(this.#routes.get(key) ?? []), { path, segments }]);
    }
  }

  /** @throws {BackendError} 404 for an unknown path, 400 for an impossible name */
  find(requested: string): Match {
    const parts = requested.split('/');
    let malformed: BackendError | undefined;
    for (const { path, segments } of this.#routes.get(`${parts[0]} ${parts.length}`) ?? []) {
      const names: Record<string, string> = {};
      let fits = true;
      for (const [index, { literal, parameter }] of segments.entries()) {
        const part = parts[index] ?? '';
        if (literal !== undefined) fits &&= literal === part;
        else if (parameter !== undefined) {
          const rule = path.parameters[parameter];
          if (rule?.pattern.test(part) !== true) {
            fits = false;
            malformed = new BackendError(400, `the ${parameter} in this path ${rule?.rule}`);
          } else names[parameter] = part;
        }
      }
      if (fits) return { path, names };
    }
    throw malformed ?? new BackendError(404, 'unsupported path: `vault path-help` on the mount lists those there are');
  }

  /** @throws {BackendError} 400, 404, 405 */
  handle(request: BackendRequest): Answer {
    // In these very words: Vault's rollback manager calls each minute, and knows by them that there is nothing to do.
    if (VERBS[request.operation] === undefined) throw new BackendError(405, 'unsupported operation');
    // A list is asked for with a slash at the end.
    const { path, names } = this.find(request.operation === 'list' ? request.path.replace(/\/$/, '') : request.path);
    const verb = VERBS[request.operation];
    const found = verb === undefined ? undefined : path.operations[verb];
    if (found === undefined)
      throw new BackendError(405, `unsupported operation: ${path.pattern} takes ${Object.keys(path.operations).join(', ')}`);
    return found.handle({ names, values: valuesOf(found, request), request });
  }

  /** @returns undefined also for an unknown path: Vault makes a 500 of any error here, and the request itself then says what is wrong */
  async exists(request: BackendRequest): Promise<boolean | undefined> {
    let match: Match;
    try {
      match = this.find(request.path);
    } catch {
      return undefined;
    }
    return match.path.exists?.(match.names);
  }
}

const VERBS: Readonly<Partial<Record<BackendRequest['operation'], Verb>>> = {
  read: 'read',
  create: 'write',
  update: 'write',
  delete: 'delete',
  list: 'list',
};

function valuesOf({ input }: Operation, request: BackendRequest): Values<Fields> {
  try {
    return input.parse(request.data, request.operation === 'create');
  } catch (error) {
    throw error instanceof InputFault ? new BackendError(400, error.message) : error;
  }
}
