import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { HclogLines } from '#broker/plugin/protocol/log.ts';

function logged(write: (log: HclogLines) => void): string[] {
  const stderr = new PassThrough();
  write(new HclogLines(stderr, () => Date.UTC(2026, 1, 3, 4, 5, 6, 78)));
  return String(stderr.read() ?? '')
    .split('\n')
    .slice(0, -1);
}
const one = (write: (log: HclogLines) => void): Record<string, unknown> => JSON.parse(logged(write)[0]!) as Record<string, unknown>;

describe('a line of the log, as hclog writes it', () => {
  it.each(['trace', 'debug', 'info', 'warn', 'error'] as const)('has the level %s', (level) => {
    expect(logged((log) => log[level]('a thing', { mount: 'auth0/' }))).toEqual([
      `{"mount":"auth0/","@level":"${level}","@message":"a thing","@timestamp":"2026-02-03T04:05:06.078000Z"}`,
    ]);
  });

  it('has exactly six fractional digits, or Vault takes it for text without a level', () => {
    expect(one((log) => log.info('x'))['@timestamp']).toMatch(/\.\d{6}Z$/);
  });

  it('tells of an error neither its message nor what it carries', () => {
    const error = Object.assign(new Error('hvs.secret in the message'), { config: { headers: 'hvs.secret' }, code: 'ECONNRESET' });
    const text = logged((log) => log.error('failed', { error, nested: { error } }))[0]!;
    expect(text).not.toContain('hvs.secret');
    expect(JSON.parse(text)).toMatchObject({ error: { type: 'Error', code: 'ECONNRESET' }, nested: { error: { type: 'Error' } } });
  });

  it('keeps its own names', () => {
    expect(one((log) => log.info('mine', { '@level': 'error', '@message': 5, '@other': 1, ok: true }))).toEqual({
      ok: true,
      '@level': 'info',
      '@message': 'mine',
      '@timestamp': expect.any(String) as unknown,
    });
  });

  it('is one line whatever it holds', () => {
    expect(logged((log) => log.info('two\nlines', { text: 'a\nb', big: 2n ** 70n }))).toHaveLength(1);
  });

  it('is shorter than what Vault reads at once', () => {
    const [line] = logged((log) => log.info('m'.repeat(100_000), { text: 'x'.repeat(100_000) }));
    expect(line!.length).toBeLessThan(64 * 1024);
    expect(JSON.parse(line!)).toMatchObject({ '@level': 'info', shortened: true });
  });

  it('survives fields that are not JSON', () => {
    const ring: Record<string, unknown> = {};
    ring['self'] = ring;
    expect(one((log) => log.warn('kept', ring))).toEqual({
      '@level': 'warn',
      '@message': 'kept',
      '@timestamp': expect.any(String) as unknown,
    });
  });

  it('is dropped when Vault reads no more', () => {
    const stderr = new PassThrough();
    stderr.destroy();
    expect(() => new HclogLines(stderr).info('nobody hears')).not.toThrow();
  });
});
