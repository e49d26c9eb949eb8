import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { findParts } from '#tools/part/parts.ts';
import { Machine, tells } from './machine.ts';

it('looks for all parts at the same time, and gives up only when all searches have ended', async () => {
  using machine = new Machine();
  // Vault is missing at once; Terraform takes its time.
  machine.script('terraform', `sleep 0.5; : > "$HOME/answered"; ${tells('1.11.4')}`);
  const error = await findParts(machine.report, machine.env).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(PosternError);
  expect((error as Error).message).toContain("vault can't be found");
  expect(existsSync(join(machine.root, 'answered'))).toBe(true);
});
