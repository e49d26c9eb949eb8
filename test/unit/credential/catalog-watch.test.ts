import { expect, test } from 'vitest';
import { CatalogWatch } from '#broker/credential/catalog-watch.ts';
import type { Catalog } from '#broker/credential/catalog-watch.ts';
import { Generations } from '#broker/credential/generations.ts';

function stage() {
  const state = { catalog: undefined as Catalog | undefined, reloads: 0, forgotten: 0, away: false };
  const generations = new Generations();
  const watch = new CatalogWatch({
    reader: { readCatalog: async () => state.catalog },
    generations,
    reload: async () => {
      if (state.away) throw new Error('away');
      state.reloads++;
    },
    forget: () => state.forgotten++,
  });
  return { state, generations, watch };
}

test('what Terraform changed is read anew by everybody, once', async () => {
  const { state, generations, watch } = stage();
  await watch.look();
  const begun = generations.now;
  await watch.look();
  expect([state.reloads, state.forgotten, generations.since('acme', begun)]).toEqual([0, 1, false]);
  state.catalog = { digest: 'a', disabled: [] };
  await watch.look();
  await watch.look();
  expect([state.reloads, state.forgotten, generations.since('acme', begun)]).toEqual([1, 2, true]);
});

test('the APIs are read before anybody decides again; what failed is tried at the next look', async () => {
  const { state, generations, watch } = stage();
  await watch.look();
  const begun = generations.now;
  state.catalog = { digest: 'a', disabled: ['acme'] };
  state.away = true;
  await expect(watch.look()).rejects.toThrow('away');
  expect([state.forgotten, generations.since('globex', begun)]).toEqual([1, false]);
  // Who is disabled needs no reading.
  expect([watch.isDisabled('acme'), generations.since('acme', begun)]).toEqual([true, true]);
  state.away = false;
  await watch.look();
  expect([state.forgotten, generations.since('globex', begun)]).toEqual([2, true]);
});
