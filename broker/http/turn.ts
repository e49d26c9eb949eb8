import type { Credential } from '#broker/credential/verifiers.ts';
import { PosternError } from '#broker/error.ts';
import type { Turns } from '#broker/listener/turns.ts';
import { networksOf } from '#broker/network.ts';
import type { Call } from './route.ts';

/** Where requests wait that are more than can be served at once. */
export interface Queueing {
  readonly turns: Pick<Turns, 'take'>;
  /** Whether the credential was right here before: then it waits in its own client's line, and nobody else can make that longer. */
  isKnown(credential: Credential, address: string): boolean;
}

/** @returns nothing where it may begin at once. @throws {PosternError} `Overloaded` where it is shed; invalid_request where its client has gone */
export function waitTurn(queueing: Queueing | undefined, call: Call, credential?: Credential): void | Promise<void> {
  const waiting = queueing?.turns.take(() => {
    const { clientId } = credential ?? {};
    if (credential !== undefined && clientId !== undefined && queueing.isKnown(credential, call.address))
      return { known: true, name: clientId };
    return { known: false, name: networksOf(call.address).at(-1) ?? '' };
  });
  return waiting?.then(() => {
    if (call.response.destroyed) throw new PosternError('invalid_request', 'The client went away');
  });
}
