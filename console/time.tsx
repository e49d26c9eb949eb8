const UNITS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
];
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });

/** A time as people say it, and exactly for whoever looks closer. */
export function Time({ iso, none }: { iso: string | null; none: string }) {
  if (iso === null) return <span class="faint">{none}</span>;
  const at = new Date(iso);
  const seconds = (at.getTime() - Date.now()) / 1000;
  const [unit, length] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ['minute', 60];
  return (
    <time dateTime={iso} title={at.toLocaleString()}>
      {relative.format(Math.round(seconds / length), unit)}
    </time>
  );
}
