import { ClockDifference } from '#broker/clock-difference.ts';
import type { Clock } from '#broker/clock.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import type { NodeVaultRequest, NodeVaultResponse } from '#broker/vault/node-vault.ts';
import type { VaultTransport } from '#broker/vault/transport.ts';
import { ISSUER } from './auth0.ts';
import type { Minted } from './auth0.ts';
import type { Chance } from './chance.ts';
import type { World } from './world.ts';

/** Vault's. */
export const ADDRESS = 'http://127.0.0.1:8200';
/** Deadline of a request to Vault, ms. */
const TIMEOUT = 2_000;
/** By how much a reply is late at most, ms: it comes before the deadline. */
export const LATEST = 1_500;

export interface Ends {
  readonly world: World;
  /** Which replica's; that after the last: the operators'. */
  readonly replica: number;
  /** For the record: which process. */
  readonly name: string;
  readonly clock: Clock;
  /** Whether this process still runs: nothing reaches one that doesn't. */
  readonly lives: () => boolean;
}

/** The way to Vault, in place of HTTP. */
export class Wire implements VaultTransport {
  requests = 0;
  readonly authorities = undefined;
  readonly clock: ClockDifference;
  readonly #ends: Ends;
  #chance: Chance | undefined;

  constructor(ends: Ends) {
    this.#ends = ends;
    this.clock = new ClockDifference(ends.clock);
  }

  trust(): void {}

  async close(): Promise<void> {}

  request({ uri, method, json, headers = {} }: NodeVaultRequest): Promise<NodeVaultResponse> {
    this.requests++;
    const { world, replica, name, clock, lives } = this.#ends;
    const { timeline, vault } = world;
    const chance = (this.#chance ??= world.chance(`vault ${name}`));
    const { latency } = world.plan.settings;
    const begun = clock.monotonic();
    const asked = timeline.now;
    const path = uri.slice(ADDRESS.length + '/v1/'.length).replace(/\?.*$/, '');
    const answered = Promise.withResolvers<NodeVaultResponse>();
    let gone = false;
    const late = timeline.after(TIMEOUT, () => {
      gone = true;
      world.whenRuns(replica, 'behind', () => {
        if (lives()) answered.reject(new VaultFault('timeout', 'Vault did not answer in time'));
      });
    });
    if (isState(path))
      answered.promise.then(
        (heard) => this.#hears(heard.statusCode, path, asked),
        () => this.#hears(0, path, asked),
      );
    const broke = (): void =>
      world.whenRuns(replica, 'network', () => {
        late();
        if (lives()) answered.reject(new VaultFault('unreachable', 'Vault cannot be reached', { code: 'ECONNRESET' }));
      });
    const travels = (): number => latency * (0.5 + chance.random());
    const reply = (status: number, body: unknown): void => {
      const date = new Date(vault.now).toUTCString();
      timeline.after(travels() + (chance.maybe(world.much('vault-late') / 2) ? chance.between(0.3, 1) * LATEST : 0), () => {
        // A lost packet is a time-out.
        if (!lives() || world.broken('cut-vault', replica)) return;
        world.whenRuns(replica, 'network', () => {
          if (!lives()) return;
          late();
          this.clock.observe(date, clock.monotonic() - begun);
          answered.resolve({ statusCode: status, body, request: { path }, retryAfter: status === 429 ? '1' : undefined });
        });
      });
    };
    const arrive = (): void => {
      if (world.broken('vault-electing')) return reply(503, { errors: ['local node not active but active cluster node not found'] });
      if (world.broken('vault-sealed')) return reply(503, { errors: ['Vault is sealed'] });
      if (chance.maybe(world.much('vault-throttles'))) return reply(429, { errors: ['request path: rate limit quota exceeded'] });
      if (chance.maybe(world.much('vault-errs') / 2)) return reply(500, { errors: ['internal error'] });
      const denied = world.broken('vault-denies') || path === STATE[Math.ceil(world.much('vault-denies-one') * STATE.length) - 1];
      if (isState(path) && replica < world.plan.settings.replicas && denied) return reply(403, { errors: ['permission denied'] });
      const lost = chance.maybe(world.much('vault-loses') / 2);
      // Vault stops in the middle of what nobody waits for any more.
      const half = (gone || lost) && method === 'DELETE' && chance.maybe(0.5);
      const { status, body } = vault.handle(method, path, (json ?? {}) as Record<string, unknown>, headers['X-Vault-Token'], name, half);
      if (!lost) return reply(status, body);
      // Done, and not said: no answer, or one that says otherwise.
      if (chance.maybe(0.3)) return reply(500, { errors: ['internal error'] });
      if (chance.maybe(0.5)) broke();
    };
    const slow = world.much('vault-slow');
    timeline.after(travels(), () => {
      if (world.broken('cut-vault', replica)) return;
      if (world.broken('refuse-vault', replica)) return broke();
      world.whenThawed(() => (slow > 0 ? timeline.after(slow * 3_500 * chance.random(), arrive) : arrive()));
    });
    return answered.promise;
  }

  #hears(status: number, path: string, asked: number): void {
    const { world, name } = this.#ends;
    if (status === 0 || status >= 500) world.heard(name).unanswered = world.timeline.now;
    else if (status === 403 || status === 429) world.heard(name).refused = world.timeline.now;
    else world.heard(name).read.set(path, asked);
  }
}

/** What brokers look at each second. */
export const STATE = ['epoch', 'ended', 'departures', 'revocations', 'catalog'].map((name) => `postern/data/state/${name}`);

/** Whether it is of that. */
function isState(path: string): boolean {
  return path.startsWith('postern/data/state/');
}

/** What happens between a process and Auth0. */
export interface Auth0Watch {
  /** A token was made for it. @param arrives whether the answer is on its way */
  minted(minted: Minted, arrives: boolean): void;
  /** It asks for a token. */
  asks(): void;
  /** It hears that it may ask for none for so long, ms. */
  paused(ms: number): void;
}

/** The way to Auth0, in place of `fetch`. */
export function fetchOver({ world, replica, name, lives }: Ends, watch: Auth0Watch): typeof fetch {
  const { timeline, auth0 } = world;
  const { latency } = world.plan.settings;
  return (input, init) => {
    const chance = world.chance(`auth0 ${name}`);
    const url = new URL(input instanceof Request ? input.url : input);
    const answered = Promise.withResolvers<Response>();
    init?.signal?.addEventListener('abort', () => answered.reject(init.signal?.reason as Error));
    const isForToken = !url.pathname.endsWith('jwks.json');
    if (isForToken) watch.asks();
    const reply = (status: number, body: object, headers: Record<string, string> = {}): void => {
      timeline.after(latency * (0.5 + chance.random()), () => {
        if (!lives() || world.broken('cut-auth0', replica)) return;
        const date = new Date(world.vault.now).toUTCString();
        world.whenRuns(replica, 'network', () => {
          if (!lives()) return;
          if (isForToken && status === 429) watch.paused(Number(headers['retry-after']) * 1_000);
          answered.resolve(
            new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json', date, ...headers } }),
          );
        });
      });
    };
    const arrive = (): void => {
      if (chance.maybe(world.much('auth0-throttles'))) return reply(429, { error: 'too_many_requests' }, { 'retry-after': '2' });
      if (chance.maybe(world.much('auth0-errs'))) return reply(500, { error: 'server_error' });
      if (!isForToken) return reply(200, auth0.keys);
      const minted = auth0.mint(new URLSearchParams(init?.body as URLSearchParams));
      if (minted === undefined) return reply(401, { error: 'access_denied', error_description: 'Unauthorized' });
      const hung = world.broken('auth0-hung');
      watch.minted(minted, !hung && lives() && !world.broken('cut-auth0', replica));
      if (!hung) reply(200, { access_token: minted.token, token_type: 'Bearer', expires_in: minted.exp - minted.iat, scope: minted.scope });
    };
    timeline.after(latency * (0.5 + chance.random()), () => {
      if (world.broken('cut-auth0', replica)) return;
      timeline.after(20 + 150 * chance.random() + world.much('auth0-slow') * 6_000 * chance.random(), arrive);
    });
    if (url.origin !== new URL(ISSUER).origin) throw new Error(`nobody is at ${url.origin}`);
    return answered.promise;
  };
}
