import type { Mutants } from './mutant.ts';

export const listener: Mutants = {
  'broker/listener/whole-request.ts': [
    ['whole-coded', "'transfer-encoding',", '', 'a body of chunks is framed by its length, and what follows is smuggled in'],
    ['whole-longer', 'if (chunk.length - from !== Number(declared ?? 0)) return undefined;', '', 'the next request is taken for a body'],
    ['whole-twice', ' || Object.hasOwn(headers, name)', '', "which of two headers counts is anybody's guess"],
    ['whole-odd', ' || ODD.test(head)', '', 'a line ends where a proxy saw none'],
    ['whole-hosts', "if (host === undefined || host.includes(',')) return undefined;", '', 'two hosts are let pass'],
    [
      'whole-closing',
      "connection !== 'keep-alive' && connection !== 'Keep-Alive'",
      "connection === ''",
      'a client waits for the end of a connection',
    ],
    [
      'whole-blank-name',
      'TOKEN.test(written) ? written.toLowerCase() : ',
      'written.length > 0 ? written.trim().toLowerCase() : ',
      'a name with a blank counts',
    ],
    ['whole-kept-body', 'this.#body = NOTHING;', '', 'a secret lives as long as its request'],
  ],
  'broker/listener/whole-response.ts': [
    ['whole-header-value', 'validateHeaderValue(name, value);', '', 'a value writes headers of its own'],
    ['whole-lost', 'this.destroyed = true;\n    this.#end();', 'this.destroyed = true;', 'an answer whose client has gone is never over'],
    ['whole-not-last', 'if (this.#isLast) socket.destroySoon();', '', 'a connection that was to end stays'],
  ],
  'broker/listener/listener.ts': [
    ['whole-first', 'if (first || !whole', 'if (!whole', "Node's time for a connection's first request runs out under others"],
    ['whole-unwanted', 'if (first || !whole.takes(request.url)) {', 'if (first) {', 'a route gets what it can not read'],
    [
      'whole-before-answer',
      'isOver(connection.last) && !this.#draining ? wholeRequest',
      '!this.#draining ? wholeRequest',
      'a second answer begins within the first',
    ],
    [
      'whole-cut-off',
      'if (this.#wholes === 0) this.server.closeIdleConnections();\n    else',
      '',
      'a request under way ends nothing, and holds up the stop',
    ],
    [
      'whole-closed-under',
      'if (this.#wholes === 0) this.server',
      'if (this.#wholes >= 0) this.server',
      'a request under way is cut off at the stop',
    ],
  ],
  'broker/listener/reading.ts': [
    ['unread-only-paused', 'if (handle?.reading !== true) return;', 'if (true) return;', 'what is left unread is read all the same'],
    ['unread-for-good', 'handle.readStart?.();', '', 'a connection whose turn has come is never read again'],
    [
      'unread-shared',
      'if (this.#isShared || socket',
      'if (socket',
      "a proxy that nobody named is left unread for one of its clients, with the others'",
    ],
    ['unread-whoever', ' || !this.#mayLeave()', '', 'a proxy of ours is left unread with all who ask by it'],
  ],
  'broker/listener/turns.ts': [
    [
      'turn-kept',
      'if (others && reading?.turn === this.#turn) {',
      'if (others && reading !== undefined && reading.turn > 0) {',
      'a turn that was not used is used later',
    ],
    [
      'left-for-nobody',
      'if (line.lengthOf(name) > 0 && reading.leave())',
      'if (reading.leave())',
      'who asks little waits behind who floods',
    ],
    ['sparse-without-end', '&& this.#sparse < SPARSE ', '', 'many who ask little make a turn as long as they like'],
    [
      'shed-is-served',
      'if (!reading.sheds || probe !== undefined) return;',
      'return;',
      'what is stale is served, and makes those behind it late',
    ],
    ['probe-shed', 'shed: probe === undefined ? shed : () => begin()', 'shed', 'a flood has the process taken out of rotation, or ended'],
    ['probes-without-end', "probe === 'new' && this.#probes < PROBES", "probe === 'new'", 'many probes make a turn as long as they like'],
    ['accepts-late', 'beside ? LEAST_BESIDE : this.#atOnce', 'this.#atOnce', 'who connects waits for a whole turn for each before it'],
  ],
  'broker/listener/connections.ts': [
    ['unread-is-idle', "  if (reading?.left) return 'busy';\n", '', 'a connection that is left unread is closed as one that does nothing'],
    [
      'unread-at-the-end',
      'for (const { reading } of this.#all) if (reading?.left) reading.start();',
      '',
      'what the unread have asked is lost at the end',
    ],
    ['kept-at-the-end', "last.setHeader('Connection', 'close');", '{}', 'who is answered at the end sends more'],
  ],
};
