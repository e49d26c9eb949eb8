// The import law: which room may import which. `make lint` holds it for types, re-exports and import() too, and
// test/lint/import-law.test.ts tries each direction, direct and through a third file.
//
// Whatever isn't listed is forbidden. From the table follow two rules a room: `room-x` for what its files import, and
// `beyond-x` for what they lead to through any number of other files.

const room = (path, may = '') => ({ path, may: may.split(' ').filter(Boolean) });

// Everything may import the errors, so they import nothing. The ground is what lies directly under broker/ and belongs to no
// room: it stands below all rooms.
const below = {
  error: room('^broker/error\\.ts$'),
  log: room('^broker/log\\.ts$', 'error'),
  ground: room('^broker/[^/]+\\.ts$', 'error'),
};

const domain = {
  rateLimit: room('^broker/rate-limit/', 'ground error'),
  credential: room('^broker/credential/', 'rateLimit ground error'),
  authorization: room('^broker/authorization/', 'credential rateLimit ground error'),
  token: room('^broker/token/', 'authorization credential rateLimit ground error'),
  // What an issuer's tokens cost: counted, and how many there may be.
  quota: room('^broker/quota/', 'authorization credential rateLimit ground error'),
  audit: room('^broker/audit/', 'quota token authorization credential ground error'),
};

// They implement ports of the domain. A token source may use Vault; Vault knows none, and Auth0 is spoken to without Vault,
// since the plugin does so inside it.
const adapters = {
  vault: room('^broker/vault/', 'quota token authorization credential rateLimit ground error'),
  // Other companies' issuers of JWTs, whose keys are fetched.
  issuer: room('^broker/issuer/', 'credential ground error'),
  auth0: room('^broker/auth0/', 'check quota token authorization credential ground error'),
  transit: room('^broker/transit/', 'check vault token authorization credential ground error'),
};

// What operators do stands beside the way of a request. `check` is what the token sources fill in for the doctor.
const operators = {
  operator: room('^broker/operator/', 'vault quota authorization credential rateLimit ground error'),
  check: room('^broker/doctor/(check|source-checks)\\.ts$', 'authorization ground error'),
  doctor: room('^broker/doctor/', 'check operator vault authorization credential ground error'),
};

// The wiring hands them the adapters. What both HTTP doors listen with belongs to neither.
const doors = {
  listener: room('^broker/listener/', 'ground error'),
  metrics: room('^broker/metrics/', 'listener audit token authorization credential ground error'),
  http: room('^broker/http/', 'listener audit token authorization credential ground error'),
  admin: room('^broker/admin/', 'listener operator quota audit token authorization credential rateLimit ground error'),
  // People's own keys, on the customers' port. It speaks as the admin API does: problems, forms, repeatable requests.
  self: room('^broker/self/', 'admin listener operator vault audit token authorization credential rateLimit ground error'),
  // Only loaded where somebody takes traces.
  tracing: room('^broker/tracing/', 'ground error'),
  plugin: room('^broker/plugin/', 'log token authorization credential ground error'),
};

const wiring = {
  sources: room('^broker/sources\\.ts$', 'auth0 transit check vault quota token authorization credential ground error'),
  config: room('^broker/config[^/]*\\.ts$', 'sources ground error'),
  wiring: room(
    '^broker/wiring/',
    'http admin listener metrics self tracing operator sources auth0 transit issuer vault audit quota token authorization credential ' +
      'rateLimit config log ground error',
  ),
  main: room('^broker/main\\.ts$', 'wiring config log ground error'),
  // A broker inside another program.
  index: room('^broker/index\\.ts$', 'wiring config log ground error'),
  // Vault is the plugin's host, so its main speaks to Auth0 alone.
  pluginMain: room('^broker/plugin/main\\.ts$', 'plugin auth0 log token authorization credential ground error'),
};

const beside = {
  cli: room(
    '^cli/',
    'doctor check operator sources auth0 transit issuer vault audit token authorization credential rateLimit ground error',
  ),
  // The one command that needs dev/ loads it when it is called.
  devCommand: room('^cli/command/dev\\.ts$', 'cli dev error'),
  // It hands the broker itself to the one command that runs it.
  cliMain: room('^cli/(?:main\\.ts|postern\\.js)$', 'cli devCommand interrupt main ground error'),
  interrupt: room('^cli/interrupt\\.ts$'),
  dev: room('^dev/', 'interrupt tools operator vault authorization credential ground error'),
  // `make generate` writes the audit's schema.
  tools: room('^tools/', 'audit error'),
  // It runs in a browser.
  console: room('^console/'),
  // Published alone.
  client: room('^client/'),
};

const rooms = { ...below, ...domain, ...adapters, ...operators, ...doors, ...wiring, ...beside };

/** Rooms whose files lie inside another room's folder, and the ground, which is what no other room takes. */
const inner = {
  ground: ['error', 'log', 'config', 'sources', 'main', 'index'],
  doctor: ['check'],
  plugin: ['pluginMain'],
  cli: ['devCommand', 'cliMain', 'interrupt'],
};

/** What each part of `cli/` may import includes the parts of its own folder. */
const kin = { cli: ['devCommand', 'interrupt'] };

const pathsOf = (names) => names.map((name) => rooms[name].path);
const not = (name) => (inner[name] ? { pathNot: pathsOf(inner[name]) } : {});
const product = '^(broker|cli|client|console|dev|tools)/';

/** The files of a room, without those of the rooms inside it. */
const only = (name) =>
  inner[name]
    ? `^(?!${pathsOf(inner[name])
        .map((path) => path.slice(1))
        .join('|')})${rooms[name].path.slice(1)}`
    : rooms[name].path;

const table = Object.entries(rooms).map(([name, { path, may }]) => ({
  name: `room-${name}`,
  comment: `${path} may import ${may.length > 0 ? may.join(', ') : 'no other room'}.`,
  severity: 'error',
  from: { path, ...not(name) },
  to: { path: [product, '^test/'], pathNot: [name, ...may, ...(kin[name] ?? [])].map(only) },
}));

/** Every room that a chain of allowed imports can lead to. */
function reached(name, seen = new Set()) {
  if (seen.has(name)) return seen;
  seen.add(name);
  for (const next of [...rooms[name].may, ...(kin[name] ?? [])]) reached(next, seen);
  return seen;
}

const chains = Object.entries(rooms).map(([name, { path }]) => ({
  name: `beyond-${name}`,
  comment: `${path} must not lead there through any number of files.`,
  severity: 'error',
  from: { path, ...not(name) },
  to: { path: [product, '^test/'], pathNot: [...reached(name)].map(only), reachable: true },
}));

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    ...table,
    ...chains,
    {
      name: 'error-imports-nothing',
      comment: 'Everything imports the errors: no package, no part of Node.',
      severity: 'error',
      from: { path: rooms.error.path },
      to: {},
    },
    {
      name: 'in-a-room',
      comment: 'A file stands in one of the rooms of this table.',
      severity: 'error',
      from: { path: product, pathNot: Object.values(rooms).map(({ path }) => path) },
      to: {},
    },
    {
      name: 'no-development-packages',
      comment: 'What production imports stands in dependencies: it is all that `npm ci --omit=dev` installs.',
      severity: 'error',
      from: { path: '^(broker|cli)/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'no-process-module',
      comment: 'process.env is read by the mains, dev, tools and test.',
      severity: 'error',
      from: { path: '^(broker|cli)/', pathNot: '^(broker|broker/plugin|cli)/main\\.ts$' },
      to: { path: '^(node:)?process$' },
    },
    { name: 'no-circle', comment: 'No file reaches itself.', severity: 'error', from: { path: product }, to: { circular: true } },
    { name: 'found', comment: 'What is imported is there.', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    parser: 'tsc',
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '/generated/' },
    enhancedResolveOptions: {
      conditionNames: ['import', 'node', 'default', 'types'],
      exportsFields: ['exports'],
      extensions: ['.ts', '.tsx', '.mjs', '.js', '.json'],
    },
  },
};
