import { useState } from 'preact/hooks';
import type { IssuedKey } from './api.ts';
import { Dialog } from './dialog.tsx';
import { Time } from './time.tsx';

/** A new key, which nothing can show again. It lies in this component and nowhere else, and goes with it. */
export function ShownOnce({ issued, onClose }: { issued: IssuedKey; onClose: () => void }) {
  const [copied, setCopied] = useState<'yes' | 'no'>();
  const copy = (): void => {
    navigator.clipboard.writeText(issued.key).then(
      () => setCopied('yes'),
      () => setCopied('no'),
    );
  };
  return (
    <Dialog title="The new key" onClose={onClose}>
      <p>
        Copy it now: <strong>it is shown this once.</strong> Whoever lost it gets a new one.
      </p>
      <p class="secret">
        <code data-secret tabIndex={0}>
          {issued.key}
        </code>
        <button class="main" onClick={copy}>
          Copy
        </button>
      </p>
      <p role="status">
        {copied === 'yes' && 'Copied.'}
        {copied === 'no' && 'The browser does not let the page copy: select the key and copy it yourself.'}
      </p>
      <p>
        {issued.name ?? issued.key_id}, ends: <Time iso={issued.expires_at} none="when it is revoked" />
      </p>
      {issued.warnings.map((warning) => (
        <p class="trouble">{warning}</p>
      ))}
      <p class="actions">
        <button onClick={onClose}>I have stored it</button>
      </p>
    </Dialog>
  );
}
