import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { Trouble } from './loading.tsx';

/** A modal dialog of the browser's own, which keeps the focus inside and gives it back. `onClose`: Escape, too. */
export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby={heading} onClose={onClose}>
      <h2 id={heading}>{title}</h2>
      {children}
    </dialog>
  );
}

interface ActionProps {
  title: string;
  /** On the button that does it. */
  verb: string;
  /** It can't be undone: the button says so by its colour. */
  grave?: boolean;
  /** What must be typed before it can be done. */
  typed?: string;
  /** What has been done is told by whoever opened the dialog. */
  act: () => Promise<void>;
  onClose: () => void;
  children: ComponentChildren;
}

/** Asks, does it, and stays open with the reason where it could not be done. */
export function ActionDialog({ title, verb, grave = false, typed, act, onClose, children }: ActionProps) {
  const [text, setText] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const field = useId();
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (busy || (typed !== undefined && text !== typed)) return;
    setBusy(true);
    setError(undefined);
    try {
      await act();
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={submit}>
        {children}
        {typed !== undefined && (
          <p>
            <label for={field}>
              Type <strong>{typed}</strong> to confirm
            </label>
            <input id={field} value={text} autocomplete="off" spellcheck={false} onInput={(event) => setText(event.currentTarget.value)} />
          </p>
        )}
        {error !== undefined && <Trouble error={error} />}
        <p class="actions">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class={grave ? 'grave' : 'main'} disabled={busy || (typed !== undefined && text !== typed)}>
            {busy ? 'One moment …' : verb}
          </button>
        </p>
      </form>
    </Dialog>
  );
}
