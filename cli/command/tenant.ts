import type { Command } from 'commander';
import type { Context } from './context.ts';
import { createCommand } from './tenant/create.ts';
import { deleteCommand } from './tenant/delete.ts';
import { disableCommand } from './tenant/disable.ts';
import { enableCommand } from './tenant/enable.ts';
import { exportCommand } from './tenant/export.ts';
import { importCommand } from './tenant/import.ts';
import { grantCommand } from './tenant/grant.ts';
import { listCommand } from './tenant/list.ts';
import { publishCommand } from './tenant/publish.ts';
import { showCommand } from './tenant/show.ts';

export function tenantCommand(context: Context): Command {
  const group = context.command('tenant', 'customers: one AppRole role and one document of grants each');
  for (const command of [
    createCommand,
    grantCommand,
    listCommand,
    showCommand,
    disableCommand,
    enableCommand,
    deleteCommand,
    importCommand,
    exportCommand,
    publishCommand,
  ])
    group.addCommand(command(context));
  return group;
}
