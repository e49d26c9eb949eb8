import { existsSync } from 'node:fs';
import { execa } from 'execa';
import { findTerraform } from './part/terraform.ts';

/** The part of `make lint` that Terraform itself does: the form of its files. */
if (existsSync('terraform')) {
  const terraform = await findTerraform();
  const { exitCode } = await execa(terraform.path, ['fmt', '-check', '-recursive', '-diff', 'terraform'], { stdio: 'inherit', reject: false });
  process.exitCode = exitCode ?? 1;
}
