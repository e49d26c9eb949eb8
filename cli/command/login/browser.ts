import { spawn } from 'node:child_process';
import type { Terminal } from '#cli/output.ts';

/**
 * Opens an address in the person's browser: by $BROWSER, else by the system's own opener.
 * @returns whether there is one that could be started
 */
export function openBrowser(url: string, env: Terminal['env'], platform = process.platform): Promise<boolean> {
  const [program, ...args] = openerOf(env, platform);
  if (program === undefined) return Promise.resolve(false);
  return new Promise((resolve) => {
    const child = spawn(program, [...args, url], { stdio: 'ignore', detached: true, env: { ...env } });
    child.once('error', () => resolve(false)).once('spawn', () => resolve(true));
    // Neither this command nor the browser waits for the other.
    child.unref();
  });
}

function openerOf(env: Terminal['env'], platform: NodeJS.Platform): string[] {
  // A list as of xdg-open (a:b): the first. A shell's %s isn't taken: the address comes last.
  const named = env['BROWSER']?.split(':')[0]?.trim();
  if (named) return named.split(/\s+/);
  if (platform === 'darwin') return ['open'];
  if (platform === 'win32') return ['rundll32', 'url.dll,FileProtocolHandler'];
  // Without a screen there is nothing to open it on; under WSL Windows has one.
  if (env['WSL_DISTRO_NAME']) return ['wslview'];
  return env['DISPLAY'] || env['WAYLAND_DISPLAY'] ? ['xdg-open'] : [];
}
