import type { ComponentChildren } from 'preact';
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { LoginEnded } from './api.ts';
import type { Page, Problem } from './api.ts';

export interface Loaded<T> {
  value: T | undefined;
  error: unknown;
  busy: boolean;
  reload: () => void;
}

/** What `load` gives, anew whenever `key` changes. An answer that came too late for its key is not shown. */
export function useLoaded<T>(key: string, load: () => Promise<T>): Loaded<T> {
  const [state, setState] = useState<{ key: string; value?: T; error?: unknown; busy: boolean }>({ key, busy: true });
  const latest = useRef(0);
  const run = useCallback(() => {
    const turn = ++latest.current;
    setState((before) => (before.key === key ? { ...before, busy: true } : { key, busy: true }));
    load().then(
      (value) => turn === latest.current && setState({ key, value, busy: false }),
      (error: unknown) => turn === latest.current && setState({ key, error, busy: false }),
    );
  }, [key]);
  useEffect(run, [run]);
  const current = state.key === key ? state : { value: undefined, error: undefined, busy: true };
  return { value: current.value, error: current.error, busy: current.busy, reload: run };
}

export interface Pages<T> {
  /** Undefined until the first page is there. */
  items: T[] | undefined;
  busy: boolean;
  error: unknown;
  reload: () => void;
  /** Undefined on the last page. */
  more: (() => void) | undefined;
}

/** The pages of a list, anew from the first one whenever `key` changes. */
export function usePages<T>(key: string, load: (cursor?: string) => Promise<Page<T>>): Pages<T> {
  const first = useLoaded(key, () => load());
  const [further, setFurther] = useState<{ of: Page<T>; items: T[]; next: string | null; error?: unknown }>();
  // What was added to a list goes with that list.
  const added = further !== undefined && further.of === first.value ? further : undefined;
  const next = added === undefined ? (first.value?.next ?? null) : added.next;
  const goOn = (of: Page<T>, cursor: string): void => {
    const before = added?.items ?? [];
    load(cursor).then(
      (page) => setFurther({ of, items: [...before, ...page.items], next: page.next }),
      (error: unknown) => setFurther({ of, items: before, next: cursor, error }),
    );
  };
  const { value } = first;
  return {
    items: value === undefined ? undefined : [...value.items, ...(added?.items ?? [])],
    busy: first.busy,
    error: first.error ?? added?.error,
    reload: first.reload,
    more: value === undefined || next === null ? undefined : () => goOn(value, next),
  };
}

interface ListingProps<T> {
  pages: Pages<T>;
  /** What is waited for. */
  what: string;
  /** In place of the items where there are none. */
  empty: ComponentChildren;
  children: (items: T[]) => ComponentChildren;
}

/** A list as far as it is there: its trouble, the wait for it, that it is empty, or its items with the way to further ones. */
export function Listing<T>({ pages, what, empty, children }: ListingProps<T>) {
  const { items, error, busy, more, reload } = pages;
  return (
    <>
      {error !== undefined && <Trouble error={error} again={items === undefined ? reload : undefined} />}
      {busy && items === undefined && <Waiting what={what} />}
      {items?.length === 0 && empty}
      {items !== undefined && items.length > 0 && children(items)}
      {more !== undefined && <button onClick={more}>Show more</button>}
    </>
  );
}

/** An error in its own words, with what helps to find it in the log. `again`: what failed can simply be tried once more. */
export function Trouble({ error, again }: { error: unknown; again?: (() => void) | undefined }) {
  if (error instanceof LoginEnded)
    return (
      <p class="trouble" role="alert">
        Your login has ended.{' '}
        <button type="button" onClick={() => location.reload()}>
          Log in again
        </button>
      </p>
    );
  const { message, instance } = error as Problem;
  return (
    <p class="trouble" role="alert">
      {message} {instance !== undefined && <small>In the log: {instance}</small>}{' '}
      {again !== undefined && (
        <button type="button" onClick={again}>
          Try again
        </button>
      )}
    </p>
  );
}

export function Waiting({ what }: { what: string }) {
  return (
    <p class="waiting" role="status">
      Loading {what} …
    </p>
  );
}
