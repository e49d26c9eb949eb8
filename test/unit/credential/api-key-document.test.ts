import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ApiKey } from '#broker/credential/api-key.ts';

const document = readFileSync(new URL('../../../docs/api-keys.md', import.meta.url), 'utf8');
const blocks = [...document.matchAll(/^```\w*\n([^]*?)^```$/gm)].map(([, text = '']) => text.trim());
const sample = blocks[0] ?? '';
const expression = blocks.find((text) => text.startsWith('\\b')) ?? '';

test('the sample is a key, of the ids that are told', () => {
  const key = ApiKey.parse(sample);
  expect(document).toContain(String(key?.credential.clientId));
  expect(document).toContain(String(key?.credential.reveal()));
});

test('the regular expression finds keys in whatever stands around them, and nothing longer or shorter', () => {
  const found = (text: string): string[] => text.match(new RegExp(expression, 'g')) ?? [];
  for (const around of [
    'KEY=$',
    '{"key":"$"}',
    'curl -H "X-API-Key: $" https://x',
    'Bearer $',
    '$',
    'a\n$\nb',
    '<$>',
    '$,',
    'https://x/?k=$&y',
  ])
    expect(found(around.replace('$', sample))).toEqual([sample]);
  for (const none of [
    sample.slice(0, -1),
    `${sample}A`,
    `x${sample}`,
    `${sample}_x`,
    sample.replace('_live_', '__'),
    sample.replace('live', 'LIVE'),
    sample.replace('live', 'x'.repeat(17)),
  ])
    expect(found(none)).toEqual([]);
});

test('every scanner is given the same expression', () => {
  expect(blocks.find((text) => text.includes('[[rules]]'))).toContain(`regex = '''${expression}'''`);
  expect(document).toContain(`secret format \`${expression.replaceAll('\\b', '')}\``);
});
