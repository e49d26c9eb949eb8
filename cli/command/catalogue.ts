import { Command } from 'commander';
import type { Context } from './context.ts';

/** A command of the first level, of which the help needs a line and nothing more. */
interface Entry {
  readonly name: string;
  /** As the command itself says; test/unit/cli/program.test.ts compares them. */
  readonly description: string;
  /** Its file, and what that needs. */
  load(context: Context): Promise<Command>;
}

/** In the order of the help. */
const COMMANDS: readonly Entry[] = [
  {
    name: 'login',
    description: 'log in to Vault through Auth0, in the browser; the login is kept where `vault login` keeps it',
    load: async (context) => (await import('./login.ts')).loginCommand(context),
  },
  {
    name: 'logout',
    description: 'end the login of ~/.vault-token: its token is revoked at Vault, then the file removed',
    load: async (context) => (await import('./logout.ts')).logoutCommand(context),
  },
  {
    name: 'whoami',
    description: 'who you are to Vault, what your policies allow, and how long yet',
    load: async (context) => (await import('./whoami.ts')).whoamiCommand(context),
  },
  {
    name: 'tenant',
    description: 'customers: one AppRole role and one document of grants each',
    load: async (context) => (await import('./tenant.ts')).tenantCommand(context),
  },
  {
    name: 'api',
    description: 'what tenants can be granted; Terraform makes them',
    load: async (context) => (await import('./api.ts')).apiCommand(context),
  },
  {
    name: 'secret',
    description: "tenants' secret_ids (their client_secret): several can live side by side",
    load: async (context) => (await import('./secret.ts')).secretCommand(context),
  },
  {
    name: 'key',
    description: "tenants' API keys: one string in place of client_id and client_secret",
    load: async (context) => (await import('./key.ts')).keyCommand(context),
  },
  {
    name: 'owners',
    description: 'people who have API keys of their own (docs/user-keys.md)',
    load: async (context) => (await import('./owners.ts')).ownersCommand(context),
  },
  {
    name: 'trust',
    description: 'workloads known by the OIDC token that they already have (docs/keyless.md)',
    load: async (context) => (await import('./trust.ts')).trustCommand(context),
  },
  {
    name: 'upstream',
    description: 'the one Auth0 application that all tenants share; only brokers can read its secret',
    load: async (context) => (await import('./upstream.ts')).upstreamCommand(context),
  },
  {
    name: 'quota',
    description: "what tenants cost of Auth0's quota: tokens fetched in a month (docs/quota.md)",
    load: async (context) => (await import('./quota.ts')).quotaCommand(context),
  },
  {
    name: 'migrate',
    description: 'away from one Auth0 M2M application a customer',
    load: async (context) => (await import('./migrate.ts')).migrateCommand(context),
  },
  {
    name: 'token',
    description: 'play the customer: exchange a credential at the broker, and show and verify what comes back',
    load: async (context) => (await import('./token.ts')).tokenCommand(context),
  },
  {
    name: 'agent',
    description: "a Vault Agent beside a customer's workload",
    load: async (context) => (await import('./agent.ts')).agentCommand(context),
  },
  {
    name: 'signing-key',
    description: "the key by which brokers sign tokens (source transit); it never leaves Vault's transit engine",
    load: async (context) => (await import('./signing-key.ts')).signingKeyCommand(context),
  },
  {
    name: 'cache',
    description: 'the tokens that brokers share in Vault: which there are, never what they say',
    load: async (context) => (await import('./cache.ts')).cacheCommand(context),
  },
  {
    name: 'announce',
    description: 'tell the brokers what they can find out by nothing else',
    load: async (context) => (await import('./announce.ts')).announceCommand(context),
  },
  {
    name: 'who',
    description: 'whose an id is that stands in a log',
    load: async (context) => (await import('./who.ts')).whoCommand(context),
  },
  {
    name: 'audit',
    description: "brokers' audits: who had which token when, and who was refused",
    load: async (context) => (await import('./audit.ts')).auditCommand(context),
  },
  {
    name: 'plugin',
    description: "Vault's secrets plugin, auth0/: for platform engineers, see docs/plugin.md",
    load: async (context) => (await import('./plugin.ts')).pluginCommand(context),
  },
  {
    name: 'doctor',
    description: 'look whether everything is set up right, and say what to do where it is not',
    load: async (context) => (await import('./doctor.ts')).doctorCommand(context),
  },
  {
    name: 'serve',
    description: 'run the broker, configured by its environment (docs/reference.md), until SIGTERM',
    load: async (context) => (await import('./serve.ts')).serveCommand(context),
  },
  {
    name: 'health',
    description: 'ask the broker of this environment whether it is ready; exit code 5 where it is not',
    load: async (context) => (await import('./health.ts')).healthCommand(context),
  },
  {
    name: 'dev',
    description: 'run everything on this machine: Vault, a stand-in for Auth0, the broker, two customers; until Ctrl-C',
    load: async (context) => (await import('./dev.ts')).devCommand(context),
  },
  {
    name: 'completion',
    description: 'a script with which your shell completes commands and options: bash, zsh or fish',
    load: async (context) => (await import('./completion.ts')).completionCommand(context),
  },
];

/**
 * The commands for one command line: what it may be about is loaded, since each brings packages of its own; the rest are a name and a
 * description. A word that only looks like a command's name loads one too many.
 */
export function commandsFor(args: readonly string[], context: Context): Promise<Command[]> {
  // It tells of all the others.
  if (args.includes('completion')) return allCommands(context);
  const one = async (entry: Entry): Promise<Command> =>
    args.includes(entry.name) ? entry.load(context) : new Command(entry.name).description(entry.description);
  return Promise.all(COMMANDS.map(one));
}

/** All of them, whole. */
export function allCommands(context: Context): Promise<Command[]> {
  return Promise.all(COMMANDS.map((entry) => entry.load(context)));
}

/** By name: what the help says of each. */
export const DESCRIPTIONS: ReadonlyMap<string, string> = new Map(COMMANDS.map(({ name, description }) => [name, description]));
