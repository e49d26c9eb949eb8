import { readFileSync, readdirSync, existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { describe, expect, it, test } from 'vitest';
import { schema } from '#broker/config-schema.ts';
import { openApiRoute } from '#broker/http/openapi.ts';
import type { Call } from '#broker/http/route.ts';
import { Context } from '#cli/command/context.ts';
import { allCommands } from '#cli/command/catalogue.ts';
import { buildProgram } from '#cli/command/program.ts';
import { fakeTerminal } from '#test/unit/cli/terminal.ts';
import { picture, withPicture } from '#tools/law/picture.ts';
import { checkout } from '#tools/part/version.ts';

const read = (file: string): string => readFileSync(join(checkout, file), 'utf8');
const folder = (path: string): string[] =>
  existsSync(join(checkout, path))
    ? readdirSync(join(checkout, path), { recursive: true, encoding: 'utf8' }).map((file) => `${path}/${file}`)
    : [];
const texts = [
  ...readdirSync(checkout),
  ...['docs', 'client', 'examples', 'terraform', 'vault-policies', 'deploy', 'test'].flatMap((path) => folder(path)),
].filter((file) => file.endsWith('.md') && !file.includes('node_modules') && statSync(join(checkout, file)).isFile());

/** As GitHub makes an anchor of a heading. */
const anchor = (heading: string): string =>
  heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(' ', '-');
const withoutCode = (text: string): string => text.replaceAll(/^```[\s\S]*?^```/gm, '');

describe('README.md', () => {
  it('has at most 10 kB', () => expect(Buffer.byteLength(read('README.md'))).toBeLessThanOrEqual(10_000));

  it('shows the rooms as the code imports them (make picture)', async () => {
    const readme = read('README.md');
    expect(withPicture(readme, await picture())).toBe(readme);
  });
});

describe('links', () => {
  const links = texts.flatMap((file) =>
    [...withoutCode(read(file)).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, to = '']) => [file, to] as const)
      .filter(([, to]) => !/^[a-z]+:/.test(to)),
  );

  it('are found', () => expect(links.length).toBeGreaterThan(20));

  it.each(links)('%s: %s', (file, to) => {
    const [path = '', fragment] = to.split('#');
    const target = path === '' ? file : join(dirname(file), path);
    expect(existsSync(join(checkout, target)), `${target} is not there`).toBe(true);
    if (fragment === undefined || !target.endsWith('.md')) return;
    const anchors = [...withoutCode(read(target)).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchor(heading));
    expect(anchors).toContain(fragment);
  });
});

test('every document is in the index of docs/', () => {
  const index = read('docs/README.md');
  for (const file of texts.filter((text) => /^docs\/[^/]+\.md$/.test(text) && text !== 'docs/README.md'))
    expect(index).toContain(`(${file.slice('docs/'.length)})`);
});

describe('dependencies', () => {
  const { dependencies, devDependencies } = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
  const section = read('CONTRIBUTING.md').split('## Dependencies')[1] ?? '';
  const named = new Set([...section.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name));

  it.each(Object.keys(dependencies ?? {}))('%s has a line that says why it is here', (name) => {
    expect(section).toMatch(new RegExp(`^\\| .*\`${name}\`.* \\| .{10,} \\|$`, 'm'));
  });

  it.each(Object.keys(devDependencies ?? {}).filter((name) => !name.startsWith('@types/')))('%s, for development, is explained', (name) => {
    expect([...named]).toContain(name);
  });

  it('no line is left of a package that has gone', () => {
    const rows = [...section.matchAll(/^\| (`[^|]*`) \| /gm)].flatMap(([, names = '']) =>
      [...names.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name),
    );
    expect(rows.filter((name) => !(name in (dependencies ?? {})) && !(name in (devDependencies ?? {})))).toEqual([]);
  });
});

describe('docs/reference.md', () => {
  const reference = read('docs/reference.md');
  const rows = [...reference.matchAll(/^\| ((?:`[A-Z][A-Z0-9_]+`(?:, )?)+) \| ([^|]*) \|/gm)];
  const told = new Map(
    rows.flatMap(([, names = '', fallback = '']) => {
      const variables = [...names.matchAll(/`([A-Z0-9_]+)`/g)].map(([, name = '']) => name);
      const values = fallback.split(', ').map((value) => value.replaceAll('`', '').trim());
      return variables.map((name, index) => [name, values.length === variables.length ? values[index] : fallback.trim()] as const);
    }),
  );
  const elsewhere = read('docs/admin-api.md');

  it.each(Object.keys(schema.shape))('tells of %s', (name) => {
    expect(told.has(name) || elsewhere.includes(`\`${name}\``), `${name} has no row`).toBe(true);
  });

  it('tells of nothing that the broker does not read', () => {
    expect([...told.keys()].filter((name) => !(name in schema.shape) && name !== 'POSTERN_TOKEN_STORE')).toEqual([]);
  });

  it.each([...told].filter(([name]) => name in schema.shape))('%s has the default that is told', (name, fallback = '') => {
    const parsed = schema.shape[name as keyof typeof schema.shape].safeParse(undefined);
    const value: unknown = parsed.success ? parsed.data : 'required';
    if (!parsed.success) expect(fallback).toMatch(/required|exactly one/);
    else if (typeof value === 'number') expect(Number(fallback.replaceAll(',', ''))).toBe(value);
    else if (typeof value === 'boolean') expect(fallback).toBe(String(value));
    else if (typeof value === 'string' && value !== '') expect(fallback).toBe(value);
    else expect(fallback).toMatch(/none|off|exactly one|stdout|[a-z]/);
  });

  it('tells of every error code, with its status and exit code', () => {
    const codes = [...read('broker/error.ts').matchAll(/^ {2}(\w+): \['(\w+)', (\d+), (\d+)\],$/gm)].map(
      ([, code, error, status, exit]) => `| \`${code}\` | ${status} | \`${error}\` | ${exit} |`,
    );
    expect(codes.length).toBeGreaterThan(15);
    expect([...reference.matchAll(/^\| `\w+` \| \d+ \| `\w+` \| \d+ \|$/gm)].map(([row]) => row)).toEqual(codes);
  });

  it('tells of every endpoint, and of no other', async () => {
    let document = '';
    const response = { writeHead: () => response, end: (text: string) => (document = text) };
    await openApiRoute({ version: '0.0.0', maxAge: 300 }).handle({ response } as unknown as Call);
    const { paths } = JSON.parse(document) as { paths: Record<string, unknown> };
    const plain = (path: string): string => path.replace(/[?{].*$/, '').replace(/(.)\/(?:audience\/)?$/, '$1');
    const section = reference.split('## Endpoints')[1]?.split('\n## ')[0] ?? '';
    const named = [...section.matchAll(/^\| ([^|]+) \|/gm)].flatMap(([, cell = '']) =>
      [...cell.matchAll(/`(?:[A-Z]+ )?(\/[^`]+)`/g)].map(([, path = '']) => plain(path)),
    );
    expect(new Set(named)).toEqual(new Set(Object.keys(paths).map((path) => plain(path))));
  });

  it('tells of every command', async () => {
    const context = new Context(fakeTerminal());
    const program = buildProgram(context, '0.0.0', await allCommands(context));
    const missing: string[] = [];
    const see = (command: Command, path: string[]): void => {
      const [first, second] = path;
      // A group with many commands has several rows.
      const rows = reference.split('\n').filter((line) => first !== undefined && line.startsWith(`| \`${first}`));
      if (first !== undefined && !rows.some((row) => second === undefined || row.includes(second))) missing.push(path.join(' '));
      if (path.length < 2) for (const child of command.commands) if (child.name() !== 'help') see(child, [...path, child.name()]);
    };
    see(program, []);
    expect(missing).toEqual([]);
  });
});
