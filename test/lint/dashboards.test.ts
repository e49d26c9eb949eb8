import { readFile, readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { metricsIn, panelQueries } from '#test/fixture/dashboards.ts';
import { FOLDER, dashboards, inChart } from '#tools/dashboards/dashboards.ts';
import { checkout } from '#tools/part/version.ts';

/* Grafana's dashboards, as they are checked in. */

const pages = await Promise.all(['docs/metrics.md', 'docs/plugin-paths.md'].map((page) => readFile(join(checkout, page), 'utf8')));
const told = pages.flatMap((page) => [...page.matchAll(/^\| `(postern_\w+)` \|/gm)].map(([, name = '']) => name));
const queries = await panelQueries();
const base = (name: string): string => name.replace(/_(bucket|count|sum)$/, '');

test('they are what tools/dashboards makes (make generate)', async () => {
  const files = (await readdir(join(checkout, FOLDER))).sort();
  expect(files).toEqual([...dashboards.keys()].sort());
  for (const file of files) expect(await readFile(join(checkout, FOLDER, file), 'utf8'), file).toBe(dashboards.get(file));
});

test('the Helm chart carries the same dashboards and rules, and no others (make generate)', async () => {
  const chart = 'deploy/helm/postern/files';
  const files = await readdir(join(checkout, chart), { recursive: true, withFileTypes: true });
  const there = files.filter((entry) => entry.isFile()).map(({ parentPath, name }) => relative(checkout, join(parentPath, name)));
  expect(there.sort()).toEqual([...inChart.keys()].sort());
  for (const [copy, original] of inChart)
    expect(await readFile(join(checkout, copy), 'utf8'), copy).toBe(await readFile(join(checkout, original), 'utf8'));
});

test("their queries speak only of metrics that docs/metrics.md and docs/plugin-paths.md have, and of Vault's own", () => {
  const unknown = queries
    .flatMap(({ expr }) => metricsIn(expr))
    .filter((name) => !told.includes(base(name)) && !/^(process|nodejs|vault)_|^ALERTS$/.test(name));
  expect(unknown).toEqual([]);
  expect(queries.length).toBeGreaterThan(40);
});

describe.each([...dashboards])('%s', (_file, text) => {
  const { uid, panels } = JSON.parse(text) as {
    uid: string;
    panels: { id: number; type: string; title: string; description?: string; gridPos: { x: number; y: number; w: number; h: number } }[];
  };

  test('has a uid of ours, and panels that say what they show, each with an id of its own', () => {
    expect(uid).toMatch(/^postern-/);
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    expect(panels.filter(({ type, description }) => type !== 'row' && !description).map(({ title }) => title)).toEqual([]);
  });

  test('lays none over another, and none beyond the 24 columns', () => {
    const taken = new Set<string>();
    for (const { title, gridPos } of panels) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(taken.has(`${x} ${y}`), `${title} at ${x} ${y}`).toBe(false);
          taken.add(`${x} ${y}`);
        }
      }
    }
  });
});
