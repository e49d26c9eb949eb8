import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { authorization } from '#test/mutants/authorization.ts';
import { credential } from '#test/mutants/credential.ts';
import { http } from '#test/mutants/http.ts';
import { listener } from '#test/mutants/listener.ts';
import { pluginProtocol } from '#test/mutants/plugin-protocol.ts';
import { plugin } from '#test/mutants/plugin.ts';
import { token } from '#test/mutants/token.ts';

test('the faults of make mutants fit the code that they are put into', () => {
  const unfit = [http, listener, credential, authorization, token, plugin, pluginProtocol].flatMap((room) =>
    Object.entries(room).flatMap(([file, mutants]) => {
      const code = readFileSync(file, 'utf8');
      return mutants.filter(([, text]) => code.split(text).length !== 2).map(([name]) => `${name} (${file})`);
    }),
  );
  expect(unfit).toEqual([]);
});
