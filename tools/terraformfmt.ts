import { existsSync } from 'node:fs';
import { execa } from 'execa';
import { findTerraform } from './part/terraform.ts';

/** The part of `make lint` that Terraform itself does: the form of its files. */
if (existsSync('terraform')) {
  const terraform = await findTerraform();
  const { exitCode } = await execa(terraform.path, ['fmt', '-check', '-recursive', '-diff', 'terraform'], {
    // The form of files does not depend on anybody's CLI configuration, nor on whether that is in order.
    env: { TF_CLI_CONFIG_FILE: '' },
    stdio: 'inherit',
    reject: false,
  });
  process.exitCode = exitCode ?? 1;
}
