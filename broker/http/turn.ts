import type { Socket } from 'node:net';
import type { Credential } from '#broker/credential/verifiers.ts';
import { PosternError } from '#broker/error.ts';
import type { Reading } from '#broker/listener/reading.ts';
import type { Party, Probe, Turns } from '#broker/listener/turns.ts';
import { networksOf } from '#broker/network.ts';
import type { Call } from './route.ts';

/** Where requests wait that are more than can be served at once. */
export interface Queueing {
  readonly turns: Pick<Turns, 'accepted' | 'take' | 'leaveUnread' | 'waiting'>;
  /** See {@link Listener.readingOf}. */
  readingOf(socket: Socket): Reading | undefined;
  /** Whether the credential was right here before: then it waits in its own client's line, and nobody else can make that longer. */
  isKnown(credential: Credential, address: string): boolean;
}

/** @returns nothing where it may begin at once. @throws {PosternError} `Overloaded` where it is shed; invalid_request where its client has gone */
export function waitTurn(queueing: Queueing | undefined, call: Call, credential?: Credential, probe?: Probe): void | Promise<void> {
  call.asksTurn = true;
  if (queueing === undefined) return undefined;
  const { turns } = queueing;
  const reading = turns.waiting === 0 ? undefined : queueing.readingOf(call.request.socket);
  let found: Party | undefined;
  const party = (): Party => (found ??= partyOf(queueing, call, credential));
  const waiting = turns.take(reading, party, probe);
  if (waiting === undefined) {
    if (reading !== undefined) leaveUnread(turns, reading, call, party());
    return undefined;
  }
  return waiting.then(() => {
    if (call.response.destroyed) throw new PosternError('invalid_request', 'The client went away');
    if (reading !== undefined) leaveUnread(turns, reading, call, party());
  });
}

/** When it is answered. */
function leaveUnread(turns: Queueing['turns'], reading: Reading, { response }: Call, party: Party): void {
  response.once('close', () => turns.leaveUnread(reading, party));
}

function partyOf(queueing: Queueing, call: Call, credential: Credential | undefined): Party {
  const { clientId } = credential ?? {};
  if (credential !== undefined && clientId !== undefined && queueing.isKnown(credential, call.address))
    return { known: true, name: clientId };
  return { known: false, name: networksOf(call.address).at(-1) ?? '' };
}
