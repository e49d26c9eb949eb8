import { readFile } from 'node:fs/promises';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript6';
import { checkout } from '#tools/part/version.ts';

/** Something that the broker or the CLI may say, as its source writes it. */
export interface Message {
  /** `broker/operator/name.ts`. */
  readonly file: string;
  /** Of the closed set in broker/error.ts; undefined where another error's is passed on. */
  readonly codes: readonly string[];
  /** What is said; `…` stands for what differs from case to case. */
  readonly message: string;
  /** What the error itself says an operator should know or do; undefined: nothing. */
  readonly detail: string | undefined;
}

const PLACEHOLDER = '…';
/** Functions that make an error of a detail alone: their message and code. */
const SHORT: ReadonlyMap<string, readonly [code: string, message: string]> = new Map([
  ['unavailable', ['temporarily_unavailable', 'Service temporarily unavailable']],
]);

/** Every `new PosternError(code, message, { detail })` of the product, and what its subclasses say, in the order of the files. */
export async function messages(): Promise<Message[]> {
  const files = globSync(['broker/**/*.ts', 'cli/**/*.ts'], { cwd: checkout })
    .filter((file) => !file.includes('generated'))
    .sort();
  const found = await Promise.all(files.map(async (file) => messagesIn(file, await readFile(join(checkout, file), 'utf8'))));
  return found.flat();
}

export function messagesIn(file: string, text: string): Message[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const found: Message[] = [];
  const visit = (node: ts.Node): void => {
    if (isMade(node)) {
      const [code, description, more] = node.arguments ?? [];
      for (const message of texts(description))
        for (const detail of details(more)) found.push({ file, codes: texts(code), message, detail });
    } else if (ts.isCallExpression(node) && ts.isIdentifier(node.expression)) {
      const short = SHORT.get(node.expression.text);
      if (short !== undefined)
        for (const detail of texts(node.arguments[0])) found.push({ file, codes: [short[0]], message: short[1], detail });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function isMade(node: ts.Node): node is ts.NewExpression | ts.CallExpression {
  if (ts.isNewExpression(node)) return node.expression.getText() === 'PosternError';
  if (!ts.isCallExpression(node) || node.expression.kind !== ts.SyntaxKind.SuperKeyword) return false;
  const of = ts.findAncestor(node, ts.isClassLike);
  return of?.heritageClauses?.some(({ types }) => types.some(({ expression }) => expression.getText() === 'PosternError')) === true;
}

/** All that an expression may say. */
export function texts(node: ts.Expression | undefined): string[] {
  if (node === undefined) return [];
  if (ts.isStringLiteralLike(node)) return [node.text];
  if (ts.isParenthesizedExpression(node) || ts.isAsExpression(node)) return texts(node.expression);
  if (ts.isConditionalExpression(node)) return [...texts(node.whenTrue), ...texts(node.whenFalse)];
  if (ts.isTemplateExpression(node))
    return node.templateSpans.reduce(
      (sofar, span) => product(product(sofar, said(span.expression)), [span.literal.text]),
      [node.head.text],
    );
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken)
    return product(texts(node.left), texts(node.right));
  return [PLACEHOLDER];
}

/** Within a text: the words that it may be, where the source has them; else a placeholder. */
function said(node: ts.Expression): string[] {
  const all = texts(node);
  return all.length <= 4 ? all : [PLACEHOLDER];
}

const product = (left: readonly string[], right: readonly string[]): string[] => left.flatMap((one) => right.map((other) => one + other));

function details(more: ts.Expression | undefined): (string | undefined)[] {
  if (more === undefined || !ts.isObjectLiteralExpression(more)) return [undefined];
  const all: string[] = [];
  const look = (node: ts.Node): void => {
    if (ts.isPropertyAssignment(node)) {
      if (node.name.getText() === 'detail') all.push(...texts(node.initializer));
    } else if (ts.isShorthandPropertyAssignment(node)) {
      if (node.name.text === 'detail') all.push(PLACEHOLDER);
    } else ts.forEachChild(node, look);
  };
  look(more);
  return all.length === 0 ? [undefined] : all;
}
