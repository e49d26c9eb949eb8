/**
 * The work's result, or the signal's reason soon after it aborts. For work that can't be told to
 * stop, or that goes on to something long when its child is interrupted (a part that is looked for
 * elsewhere, a build of minutes): we stop waiting for it.
 *
 * @param grace milliseconds that the work gets to end by itself after the abort
 */
export async function abortable<T>(signal: AbortSignal | undefined, work: () => Promise<T>, grace = 0): Promise<T> {
  if (!signal) return work();
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  let timer: NodeJS.Timeout | undefined;
  const abort = (): void => void (timer = setTimeout(() => reject(signal.reason), grace));
  signal.addEventListener('abort', abort, { once: true });
  try {
    const result = await Promise.race([work(), promise]);
    signal.throwIfAborted();
    return result;
  } catch (error) {
    // What an interrupted child had to say is not of interest then.
    throw signal.aborted ? signal.reason : error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
}
