import type { Mutants } from './mutant.ts';

/** The HTTP/2 that Vault's calls come by. */
export const pluginProtocol: Mutants = {
  'broker/plugin/protocol/http2/connection.ts': [
    [
      'preface-only',
      "    if (!this.#greeted && type !== Frame.SETTINGS) throw broken('no settings');\n",
      '',
      'a client without settings is served',
    ],
    [
      'headers-interrupted',
      'if (this.#block !== undefined && (type !== Frame.CONTINUATION || id !== this.#block.id)) throw',
      'if (this.#block === null) throw',
      "one call's headers become another's",
    ],
    [
      'window-before-settings-ack',
      `    this.#outbox.write(frame(Frame.SETTINGS, Flag.ACK, 0, NOTHING));
    for (let at = 0; at < payload.length; at += 6) this.#takeSetting(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
`,
      `    for (let at = 0; at < payload.length; at += 6) this.#takeSetting(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
    this.#outbox.write(frame(Frame.SETTINGS, Flag.ACK, 0, NOTHING));
`,
      'Vault ends the connection of all mounts when it enlarges its windows',
    ],
    ['calls-unbounded', 'if (this.#streams.size >= MAX_STREAMS) {', 'if (this.#last === 0) {', 'calls pile up without a bound'],
    ['reset-unheard', 'this.#known(id)?.close();', 'this.#known(id);', 'calls that Vault took back stay in memory'],
    ['window-never-given', 'this.#outbox.write(frameOf(Frame.WINDOW_UPDATE, 0, this.#taken));', '', 'after 64 MiB Vault waits for ever'],
    ['listens-after-refusal', ' && !stream.answered) stream', ') stream', 'what is refused is gathered nevertheless'],
    ['even-calls', "    if (id % 2 === 0) throw broken('headers of no call');\n", '', 'a call of id 0 is served'],
  ],
  'broker/plugin/protocol/http2/frame-reader.ts': [
    [
      'frame-unbounded',
      "      if (length > MAX_FRAME) throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'a frame is too long');\n",
      '',
      'one frame takes 16 MiB of memory',
    ],
  ],
  'broker/plugin/protocol/http2/header-block.ts': [
    ['continuation-flood', ' || this.#pieces.length > MAX_PIECES', '', 'empty CONTINUATION frames pile up'],
  ],
  'broker/plugin/protocol/http2/hpack-decoder.ts': [
    ['table-unbounded', '    this.#evict(this.#maxSize - size);\n', '', 'headers are read from a table that Vault has not'],
    [
      'headers-unbounded',
      "      if (size > MAX_HEADER_LIST) throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'too many headers');\n",
      '',
      'a few bytes become megabytes of headers',
    ],
    ['table-of-any-size', '    if (size > TABLE_SIZE) throw malformed();\n', '', 'the peer says how large our table is'],
  ],
  'broker/plugin/protocol/http2/huffman.ts': [['padding-unchecked', 'depth > 7 || !ones ? undefined : ', '', 'two codings of one header']],
  'broker/plugin/protocol/http2/outbox.ts': [
    [
      'call-window-ignored',
      'if (body.length > Math.min(stream.window, this.#window, this.maxFrame)) {',
      'if (body.length > Math.min(this.#window, this.maxFrame)) {',
      'Vault ends the connection of all mounts for one answer',
    ],
    [
      'connection-window-ignored',
      'Math.min(rest.length, stream.window, this.#window, this.maxFrame)',
      'Math.min(rest.length, stream.window, this.maxFrame)',
      'the same, for answers that wait',
    ],
    ['unread-piles-up', '    socket.pause();\n', '', 'answers to a client that reads none fill the memory'],
  ],
  'broker/plugin/protocol/grpc-server.ts': [
    [
      'message-of-any-length',
      "    if (length - PREFIX > MAX_MESSAGE) throw new GrpcFault(status.RESOURCE_EXHAUSTED, 'the message is too long');\n",
      '',
      'a message is waited for that nobody may send',
    ],
    ['half-a-message', 'if (!asked) refuse(', 'if (false) refuse(', 'a call without a message has no answer'],
  ],
};
