/** One step of an endpoint. It reads and fills in what is known of the request so far. */
export type Step<Request> = (request: Request) => void | Promise<void>;

/**
 * An endpoint as the ordered list of its steps. It ends at once where no step has to wait: a hit makes no promise.
 * @param failed told of the error that a step ended with, and ends by throwing it
 */
export function inOrder<Request>(
  steps: readonly Step<Request>[],
  failed: (request: Request, error: unknown) => never,
): (request: Request) => void | Promise<void> {
  const goOn = (request: Request, from: number): void | Promise<void> => {
    let at = from;
    try {
      while (at < steps.length) {
        const waiting = steps[at++]?.(request);
        if (waiting === undefined) continue;
        const next = at;
        return waiting.then(
          () => goOn(request, next),
          (error: unknown) => failed(request, error),
        );
      }
    } catch (error) {
      failed(request, error);
    }
  };
  return (request) => goOn(request, 0);
}
