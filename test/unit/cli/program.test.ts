import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { DESCRIPTIONS, allCommands } from '#cli/command/catalogue.ts';
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

const context = new Context(fakeTerminal());
const program = buildProgram(context, '1.2.3', await allCommands(context));
const commands = commandsOf(program);

async function told(
  line: string | readonly string[],
  options: Parameters<typeof fakeTerminal>[0] = {},
): Promise<{ code: number; out: string; err: string }> {
  const terminal = fakeTerminal({ input: '', ...options });
  const code = await run(typeof line === 'string' ? line.split(' ').filter(Boolean) : line, terminal, '1.2.3');
  return { code, out: terminal.out(), err: terminal.err() };
}

describe('help', () => {
  test('is there for each command, with examples that exist', async () => {
    expect(commands.map(([path]) => path)).toEqual(
      expect.arrayContaining([
        'tenant create',
        'tenant delete',
        'secret issue',
        'secret revoke',
        'upstream set',
        'upstream import',
        'token',
        'doctor',
        'dev',
      ]),
    );
    for (const [path, command] of commands) {
      const { code, out, err } = await told(`${path} --help`);
      expect(code, path).toBe(0);
      expect(err).toBe('');
      if (command.commands.length > 0) continue;
      expect(out, path).toContain('Examples:');
      // Every example's command and options are real.
      for (const [, words = ''] of out.matchAll(/^ {2}[^#\n]*\bpostern ((?:[a-z-]+ ?)+[^|)\n]*)/gm)) {
        const parts = words.split(' ');
        const found =
          commands.find(([name]) => name === parts.slice(0, 3).join(' ')) ??
          commands.find(([name]) => name === parts.slice(0, 2).join(' ')) ??
          commands.find(([name]) => name === parts[0]);
        expect(found, `${path}: ${words}`).toBeDefined();
        const known = [...(found?.[1].options ?? []), ...program.options].map(({ long }) => long);
        for (const option of words.match(/(?<=\s)--[a-z-]+/g) ?? []) expect(known, `${path}: ${option}`).toContain(option);
      }
    }
  });

  test("has a line of each command of the first level without loading it, and the line is the command's own", () => {
    expect([...DESCRIPTIONS]).toEqual(program.commands.map((command) => [command.name(), command.description()]));
  });

  test('of all tells the exit codes', async () => {
    const { code, out } = await told('--help');
    expect(code).toBe(0);
    expect(out).toMatch(/Exit codes:[^]*\n {2}6 /);
  });

  test.each(['', 'tenant', 'secret', 'upstream'])('is shown for "%s" alone, which is not a success', async (line) => {
    const { code, out, err } = await told(line);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(err).toContain('Usage:');
  });

  test('knows no option that would take a secret', () => {
    for (const [path, command] of commands)
      for (const { long, flags } of command.options)
        if (/<|\[/.test(flags)) expect(`${path} ${long}`).not.toMatch(/--(secret|client-secret|secret-id|token|password)$/);
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
    ['a malformed choice', 'doctor --binding both', /action, organization/],
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

describe('wrong input is refused before Vault is asked', () => {
  // Nothing listens there: a call would end with 5.
  const env = { VAULT_ADDR: 'http://127.0.0.1:9', VAULT_TOKEN: 'hvs.unused' };

  test.each<[string, readonly string[], RegExp]>([
    ['a path for a tenant', ['tenant', 'show', '../acme'], /id/],
    ['upper case', ['tenant', 'create', 'Acme'], /id/],
    ['a reserved word', ['tenant', 'create', 'broker'], /reserved/],
    ['a glob', ['tenant', 'delete', 'ac*me', '--yes'], /id/],
    ['a grant without scopes', ['tenant', 'create', 'acme', '--grant', 'orders'], /api=scope1/],
    ['too short a life', ['secret', 'issue', 'acme', '--ttl', '5'], /ttl/],
    ['less than no uses', ['secret', 'issue', 'acme', '--num-uses', '-1'], /whole number/],
    ['an address for a block', ['secret', 'issue', 'acme', '--cidr', '10.0.0.1'], /203\.0\.113\.0\/24/],
    ['too short a wrapping', ['secret', 'issue', 'acme', '--wrap', '1s'], /10 s to 7 days/],
    ['a name of two lines', ['secret', 'issue', 'acme', '--name', 'two\nlines'], /one line/],
    ['a secret as an option', ['secret', 'issue', 'acme', '--secret', 'x'], /unknown option/],
    ['nothing to revoke', ['secret', 'revoke', 'acme'], /--all/],
    ['both kinds of revocation', ['secret', 'revoke', 'acme', '--all', '6f1c7f02-6c51-4d0a-8f0e-2d9a4d1f3b55'], /not both/],
    ['no accessor', ['secret', 'revoke', 'acme', 'not-an-accessor'], /accessor/],
    ['an empty secret', ['upstream', 'set', '--client-id', 'x'], /No client secret/],
    ['no Auth0', ['upstream', 'import'], /AUTH0_DOMAIN/],
    ['no client', ['token'], /--client-id/],
  ])('%s', async (_, args, message) => {
    const { code, out, err } = await told(args, { env });
    expect(code, err).toBe(2);
    expect(out).toBe('');
    expect(err).toMatch(message);
  });

  test.each<[string, Record<string, string>, number, RegExp]>([
    ['no token', { VAULT_TOKEN: '' }, 3, /postern login/],
    ['a malformed token', { VAULT_TOKEN: 'two words' }, 2, /postern login/],
    ['a malformed address', { VAULT_ADDR: 'vault.example.com' }, 2, /https:/],
    ['an address with a password', { VAULT_ADDR: 'http://user:pw@127.0.0.1' }, 2, /VAULT_ADDR/],
    ['a malformed mount', { POSTERN_KV_MOUNT: '../x' }, 2, /mount/],
    ['a CA file that is not there', { VAULT_CACERT: '/nonexistent' }, 2, /CA/],
    ['a Vault that is not there', {}, 5, /VAULT_ADDR/],
  ])('%s', async (_, more, expected, message) => {
    const { code, out, err } = await told('tenant list', { env: { ...env, ...more } });
    expect(code, err).toBe(expected);
    expect(out).toBe('');
    expect(err).toMatch(message);
    expect(err).not.toContain('pw@');
  });
});

describe('a tenant by options', () => {
  test('parses grants and claims', () => {
    expect(
      specification({
        grant: ['orders=read:orders,write:orders', 'reports='],
        claim: ['https://example.com/plan=gold=1', 'https://example.com/x='],
      }),
    ).toEqual({
      grants: [
        { api: 'orders', scopes: ['read:orders', 'write:orders'] },
        { api: 'reports', scopes: [] },
      ],
      claims: { 'https://example.com/plan': 'gold=1', 'https://example.com/x': '' },
    });
  });

  test('tells what is not named from what is to be cleared', () => {
    expect(specification({})).toEqual({});
    expect([specification({ introspect: ['orders', 'reports'] }), specification({ introspect: false })]).toEqual([
      { introspects: ['orders', 'reports'] },
      { introspects: [] },
    ]);
    expect(specification({ grant: false, claim: false, cidr: false, defaultApi: false, organization: false })).toEqual({
      grants: [],
      claims: {},
      cidrs: [],
      defaultApi: null,
      organization: null,
    });
  });

  test.each([[{ grant: ['orders'] }], [{ grant: ['=x'] }], [{ claim: ['plan=gold'] }], [{ claim: ['https://example.com/plan'] }]])(
    'refuses %j',
    (options) => {
      expect(() => specification(options)).toThrow(expect.objectContaining({ code: 'invalid_request' }) as Error);
    },
  );
});

test.each([
  [undefined, 'http://127.0.0.1:8080/'],
  ['https://login.example.com', 'https://login.example.com/'],
  ['http://[::1]:8080/x', 'http://[::1]:8080/x/'],
])('the broker %s is %s', (given, expected) => {
  expect(brokerUrl(given)).toBe(expected);
});

test.each(['login.example.com', 'file:///etc/passwd', 'https://user:pw@example.com', 'https://example.com/?x=1'])(
  '%s is not a broker',
  (given) => {
    expect(() => brokerUrl(given)).toThrow(expect.objectContaining({ code: 'invalid_request' }) as Error);
  },
);
