/** Of a key set or any document about it, bytes: a key has some 2 KB. */
export const MAX_DOCUMENT = 1024 * 1024;
/** Of an answer with a token, bytes. */
export const MAX_TOKEN_ANSWER = 256 * 1024;

/** An answer that is longer than anything that was asked for. Holds nothing that the other side said. */
export class TooLong extends TypeError {
  constructor(maxBytes: number) {
    super(`an answer of more than ${Math.floor(maxBytes / 1024)} KiB`);
  }
}

/**
 * A fetch by which no answer takes more memory than it may: to read on in one that is longer fails with {@link TooLong}, and ends it.
 * @param maxBytes of the body, as it is when it is decompressed
 * @param ask default: the global one
 */
export function boundedFetch(maxBytes: number, ask: typeof fetch = fetch): typeof fetch {
  return async (input, init) => {
    const response = await ask(input, init);
    if (response.body === null) return response;
    let size = 0;
    const counted = new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        size += chunk.byteLength;
        if (size > maxBytes) controller.error(new TooLong(maxBytes));
        else controller.enqueue(chunk);
      },
    });
    const { status, statusText, headers } = response;
    return new Response(response.body.pipeThrough(counted), { status, statusText, headers });
  };
}
