import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { Context } from '#cli/command/context.ts';
import { buildProgram, run } from '#cli/command/program.ts';
import { specification } from '#cli/command/tenant/create.ts';
import { brokerUrl } from '#cli/command/token.ts';
import { fakeTerminal } from './terminal.ts';

function commandsOf(command: Command, path: readonly string[] = []): [string, Command][] {
  return command.commands.flatMap((child) => {
    const here = [...path, child.name()];
    return [[here.join(' '), child] as [string, Command], ...commandsOf(child, here)];
  });
}

const program = buildProgram(new Context(fakeTerminal()), '1.2.3');
const commands = commandsOf(program);

async function told(line: string | readonly string[], options: Parameters<typeof fakeTerminal>[0] = {}): Promise<{ code: number; out: string; err: string }> {
  const terminal = fakeTerminal({ input: '', ...options });
  const code = await run(typeof line === 'string' ? line.split(' ').filter(Boolean) : line, terminal, '1.2.3');
  return { code, out: terminal.out(), err: terminal.err() };
}

describe('help', () => {
  test('is there for each command, with examples that exist', async () => {
    expect(commands.map(([path]) => path)).toEqual(expect.arrayContaining(['tenant create', 'tenant delete', 'secret issue', 'secret revoke', 'upstream set', 'upstream import', 'token', 'doctor', 'dev']));
    for (const [path, command] of commands) {
      const { code, out, err } = await told(`${path} --help`);
      expect(code, path).toBe(0);
      expect(err).toBe('');
      if (command.commands.length > 0) continue;
      expect(out, path).toContain('Examples:');
      // Every example's command and options are real.
      for (const [, words = ''] of out.matchAll(/^ {2}[^#\n]*\bpostern ((?:[a-z-]+ ?)+[^|)\n]*)/gm)) {
        const parts = words.split(' ');
        const found = commands.find(([name]) => name === parts.slice(0, 2).join(' ')) ?? commands.find(([name]) => name === parts[0]);
        expect(found, `${path}: ${words}`).toBeDefined();
        const known = [...(found?.[1].options ?? []), ...program.options].map(({ long }) => long);
        for (const option of words.match(/(?<=\s)--[a-z-]+/g) ?? []) expect(known, `${path}: ${option}`).toContain(option);
      }
    }
  });

  test('of all tells the exit codes', async () => {
    const { code, out } = await told('--help');
    expect(code).toBe(0);
    expect(out).toMatch(/Exit codes:[^]*\n {2}6 /);
  });

  test.each(['', 'tenant', 'secret', 'upstream'])('is shown for "%s" alone, which is no success', async (line) => {
    const { code, out, err } = await told(line);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(err).toContain('Usage:');
  });

  test('knows no option that would take a secret', () => {
    for (const [path, command] of commands) for (const { long, flags } of command.options) if (/<|\[/.test(flags)) expect(`${path} ${long}`).not.toMatch(/--(secret|client-secret|secret-id|token|password)$/);
  });
});

test('the version', async () => {
  expect(await told('--version')).toEqual({ code: 0, out: '1.2.3\n', err: '' });
});

describe('wrong input', () => {
  test.each([
    ['an unknown command', 'tenant lst', /unknown command 'lst'.*list/],
    ['an unknown option', 'tenant list --all', /--all/],
    ['a missing argument', 'tenant show', /missing required argument 'tenant'/],
    ['a missing option', 'upstream set', /--client-id/],
    ['a wrong duration', 'secret issue acme --ttl soon', /90s, 15m/],
    ['a choice that is none', 'doctor --binding both', /action, organization/],
  ])('%s', async (_, line, message) => {
    const { code, out, err } = await told(line);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(err).toMatch(message);
    const json = await told(`${line} --json`);
    expect(json.code).toBe(2);
    expect(JSON.parse(json.err)).toMatchObject({ error: 'invalid_request', message: expect.stringMatching(message) as string });
  });

  test('that may be a secret is not repeated', async () => {
    const { code, err } = await told('token the-secret-itself');
    expect(code).toBe(2);
    expect(err).not.toContain('the-secret-itself');
  });
});

describe('a tenant by options', () => {
  test('parses grants and claims', () => {
    expect(specification({ grant: ['orders=read:orders,write:orders', 'reports='], claim: ['https://example.com/plan=gold=1', 'https://example.com/x='] })).toEqual({
      grants: [{ api: 'orders', scopes: ['read:orders', 'write:orders'] }, { api: 'reports', scopes: [] }],
      claims: { 'https://example.com/plan': 'gold=1', 'https://example.com/x': '' },
    });
  });

  test('tells what is not named from what is to be cleared', () => {
    expect(specification({})).toEqual({});
    expect(specification({ grant: false, claim: false, cidr: false, defaultApi: false, organization: false })).toEqual({ grants: [], claims: {}, cidrs: [], defaultApi: null, organization: null });
  });

  test.each([[{ grant: ['orders'] }], [{ grant: ['=x'] }], [{ claim: ['plan=gold'] }], [{ claim: ['https://example.com/plan'] }]])('refuses %j', (options) => {
    expect(() => specification(options)).toThrow(expect.objectContaining({ code: 'invalid_request' }) as Error);
  });
});

test.each([[undefined, 'http://127.0.0.1:8080/'], ['https://login.example.com', 'https://login.example.com/'], ['http://[::1]:8080/x', 'http://[::1]:8080/x/']])('the broker %s is %s', (given, expected) => {
  expect(brokerUrl(given)).toBe(expected);
});

test.each(['login.example.com', 'file:///etc/passwd', 'https://user:pw@example.com', 'https://example.com/?x=1'])('%s is no broker', (given) => {
  expect(() => brokerUrl(given)).toThrow(expect.objectContaining({ code: 'invalid_request' }) as Error);
});
