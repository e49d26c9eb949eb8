import { useRef } from 'preact/hooks';

/**
 * The Idempotency-Key of what is asked for: the same as long as a dialog is open and asks for the same, so that pressing again after a
 * lost answer does nothing twice. What was changed after a refusal is another request, and has another one.
 */
export function useAttempt(wanted: unknown): string {
  const known = useRef(new Map<string, string>());
  const text = JSON.stringify(wanted);
  const attempt = known.current.get(text) ?? crypto.randomUUID();
  known.current.set(text, attempt);
  return attempt;
}
