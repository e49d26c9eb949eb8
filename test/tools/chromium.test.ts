import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findChromium } from '#test/part/chromium.ts';
import { Machine } from '#test/tools/machine.ts';

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine[Symbol.dispose]());

const find = () => findChromium(machine.report, machine.env);
const CHROMIUM = 'echo "Chromium 156.0.8078.108 built on Debian GNU/Linux 12 (bookworm)"';

describe('a browser is taken', () => {
  it('from where the environment says, before PATH', async () => {
    machine.script('chromium', 'echo "Chromium 150.0.1.2"');
    machine.env['POSTERN_CHROMIUM_BIN'] = machine.script('elsewhere/chrome', CHROMIUM);
    expect(await find()).toMatchObject({ version: '156.0.8078', origin: 'environment', path: machine.env['POSTERN_CHROMIUM_BIN'] });
  });

  it.each(['chromium', 'chromium-browser', 'google-chrome-stable'])('from PATH as %s', async (name) => {
    const path = machine.script(name, CHROMIUM);
    expect(await find()).toMatchObject({ origin: 'PATH', path });
  });

  it('from the folder of Playwright, the newest', async () => {
    machine.script('.cache/ms-playwright/chromium-1100/chrome-linux/chrome', 'echo "Chromium 130.0.1.2"');
    const path = machine.script('.cache/ms-playwright/chromium-1200/chrome-linux/chrome', CHROMIUM);
    expect(await find()).toMatchObject({ origin: 'cache', path });
  });

  it("out of Debian's package, whose lists may have to be fetched first", async () => {
    machine.script(
      'apt-get',
      `echo "$@" >> "${machine.root}/asked"
case "$*" in
  *update*) : > "${machine.root}/lists";;
  *install*) [ -e "${machine.root}/lists" ] || exit 100; printf '#!/bin/sh\\n${CHROMIUM}\\n' > "${machine.bin}/chromium"; /bin/chmod 755 "${machine.bin}/chromium";;
esac`,
    );
    if (process.getuid?.() !== 0) return expect(find()).rejects.toThrow(/only root can install packages/);
    expect(await find()).toMatchObject({ version: '156.0.8078', origin: 'debian' });
    expect(readFileSync(join(machine.root, 'asked'), 'utf8').match(/update|install --no-install-recommends/g)).toEqual([
      'install --no-install-recommends',
      'update',
      'install --no-install-recommends',
    ]);
  });
});

it('one that is too old is not taken, and where there is none the remedy is in the message', async () => {
  machine.script('chromium', 'echo "Chromium 90.0.1.2"');
  const { message } = await find().then(
    () => new Error('found'),
    (error: unknown) => error as Error,
  );
  expect(message).toContain('is 90.0.1, at least 123.0.0 is needed');
  expect(message).toContain('apt-get install chromium');
  expect(existsSync(join(machine.root, '.cache'))).toBe(false);
});
