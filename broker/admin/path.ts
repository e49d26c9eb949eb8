import type { Operation } from './operation.ts';
import { Problem } from './problem.ts';

/** Something that is there, and what it takes. */
export interface Path {
  readonly pattern: RegExp;
  readonly methods: readonly string[];
}

/** All that there is. @param pages paths that take GET beside those of the API */
export function pathsOf(operations: readonly Pick<Operation, 'path' | 'method'>[], pages: readonly string[]): readonly Path[] {
  const gets = ['/openapi.json', ...pages];
  return [...new Set([...gets, ...operations.map(({ path }) => path)])].map((path) => {
    const methods = gets.includes(path) ? ['GET'] : operations.filter((one) => one.path === path).map(({ method }) => method);
    return {
      pattern: new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`),
      methods: [...new Set(methods)].flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])),
    };
  });
}

/** Without its query. */
export function pathOf({ url }: { readonly url: string }): string {
  return url.split('?', 1)[0] ?? '/';
}

/** No route took it: a path of ours with another method, or none of ours. */
export function missing(path: string, paths: readonly Path[]): Problem {
  const found = paths.find(({ pattern }) => pattern.test(path));
  if (found === undefined) return new Problem('not-found', 'There is nothing at this address; see /openapi.json');
  return new Problem('method-not-allowed', `This resource has ${found.methods.join(', ')}`, { allow: found.methods });
}
