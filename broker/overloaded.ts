import { PosternError } from './error.ts';

/** Where more was asked than could be served: of this process (`turn`, `lag`), or of Vault (`vault`). */
export const SHED_AT = ['turn', 'vault', 'lag'] as const;
export type ShedAt = (typeof SHED_AT)[number];

/** A request that is shed, so that others are served in time. It says nothing about who asks; at Vault it is as if Vault had said 429. */
export class Overloaded extends PosternError {
  readonly at: ShedAt;

  constructor(at: ShedAt) {
    super('temporarily_unavailable', 'Service temporarily unavailable', {
      detail:
        at === 'vault'
          ? 'more logins wait than Vault answers: give Vault more processor, or limit those who ask most'
          : at === 'turn'
            ? 'more requests wait for their turn than this broker can serve: add replicas, or limit those who ask most'
            : 'the event loop is behind all the time: add replicas, or block at the proxy who asks most',
      retryAfter: 1,
      unasked: at === 'vault' ? 'throttled' : undefined,
    });
    this.at = at;
  }
}
