#!/bin/bash
# Installs the packages of package-lock.json into node_modules, whatever npm's settings and the environment are, and says in one line
# what is in the way. Whoever stops it, however often and hard, stops npm too before it returns, so that it can be started again at once.
set -euo pipefail
cd "$(dirname "$0")/.."

# What node_modules takes, and npm's cache beside it, in MB.
readonly NEEDED=700
# A person's settings that leave packages out, put them elsewhere or only pretend: the command line goes before all of them.
readonly SETTINGS=(
  --include=dev --include=optional --include=peer --no-global --no-dry-run --no-package-lock-only --package-lock --bin-links
  --install-strategy=hoisted --no-engine-strict --no-progress --loglevel=error
)
readonly LOCK=.postern/installing
group=''
waited=''

say() { printf '%s\n' "$*" >&2; }
fail() { say "$*"; exit 6; }

# Why a command failed, in the system's words: what stands behind the last colon.
why() { "$@" 2>&1 >/dev/null | tail -n 1 | sed 's/.*: //'; }

# Makes a folder and writes to it for a try.
writable() {
  local folder=$1 remedy=$2 reason
  reason=$(why mkdir -p "$folder") || true
  [ -n "$reason" ] || { reason=$(why touch "$folder/.postern-probe") || true; rm -f "$folder/.postern-probe"; }
  [ -z "$reason" ] || fail "$folder can't be written ($PWD/$folder): $reason. $remedy"
}

free() { df -Pm . 2>/dev/null | awk 'NR == 2 { print $4 }'; }

# All that the list names for this machine is there, what only development needs included, and a Node that runs. Right after an installation
# npm has decided which optional packages fit.
complete() {
  [ node_modules/.package-lock.json -nt package-lock.json ] || return 1
  NODE_OPTIONS='' node_modules/.bin/node - "$@" 2>/dev/null <<'JS'
const { existsSync } = require('fs');
const { os, cpu } = { os: process.platform, cpu: process.arch };
const musl = process.platform === 'linux' && !process.report.getReport().header.glibcVersionRuntime;
const ours = (list, it) => !list || (list.some((one) => one === it) || list.every((one) => one[0] === '!')) && !list.includes(`!${it}`);
const missing = Object.entries(require('./package-lock.json').packages).filter(([path, one]) =>
  path !== '' && ours(one.os, os) && ours(one.cpu, cpu) && ours(one.libc, musl ? 'musl' : 'glibc') && !existsSync(path) &&
  !(one.optional && (process.argv[2] === 'installed' || !(one.os || one.cpu))));
process.exit(missing.length === 0 && process.versions.node.split('.')[0] >= 24 ? 0 : 1);
JS
}

# Ends npm and what it has started; they have nothing to put in order.
end() {
  trap '' INT TERM HUP
  if [ -n "$group" ]; then
    kill -KILL -- "-$group" 2>/dev/null || true
    while kill -0 -- "-$group" 2>/dev/null; do sleep 0.05; done
  fi
  group=''
  [ "$(readlink "$LOCK" 2>/dev/null)" != "$$" ] || rm -f "$LOCK"
}
stop() {
  say "npm ci: stopping"
  end
  exit "$1"
}

# Runs in a process group of its own, which ends with us: its watcher waits for the end of a pipe that only we hold open.
run() {
  local begin=$SECONDS told=0 code=0
  set -m
  {
    { trap '' HUP INT TERM; read -r _ <&4 || kill -KILL 0; } &
    exec "$@" 4<&-
  } </dev/null >&2 3>&- &
  group=$!
  set +m
  while kill -0 "$group" 2>/dev/null; do
    sleep 0.2
    (((SECONDS - begin) / 10 == told)) || { told=$(((SECONDS - begin) / 10)); say "npm ci: ... $((SECONDS - begin)) s"; }
  done
  wait "$group" || code=$?
  kill -KILL -- "-$group" 2>/dev/null || true
  group=''
  return "$code"
}

command -v npm >/dev/null || fail "Node and npm are needed once, to install the pinned ones: see nodejs.org, or apt-get install npm"
version=$(npm --version 2>/dev/null) || fail "npm does not run here. Try \`npm --version\`, and install Node and npm again: see nodejs.org"
[ "${version%%.*}" -ge 8 ] || fail "npm $version is too old: Node 18 or later is needed to install the pinned one, see nodejs.org"
writable .postern 'Make the checkout writable for you, or use a copy of it elsewhere.'
writable node_modules 'Make the checkout writable for you, or use a copy of it elsewhere.'

trap end EXIT
trap 'stop 130' INT
trap 'stop 143' TERM
trap 'stop 129' HUP
# One at a time: of two in one checkout the second finds everything done.
until ln -s "$$" "$LOCK" 2>/dev/null; do
  holder=$(readlink "$LOCK" || true)
  if [ -n "$holder" ] && kill -0 "$holder" 2>/dev/null; then
    [ -n "$waited" ] || say "npm ci: process $holder is installing already; waiting"
    waited=yes
    sleep 0.5
  else
    rm -f "$LOCK"
  fi
done
if complete; then
  touch node_modules/.postern-installed
  exit 0
fi

space=$(free)
[ "${space:-$NEEDED}" -ge "$NEEDED" ] ||
  fail "node_modules can't be written ($PWD/node_modules): $space MB are free there, $NEEDED MB are needed." \
    'Make room there, or use a copy of the checkout elsewhere.'
rm -f "$LOCK.pipe"
mkfifo "$LOCK.pipe"
exec 3<>"$LOCK.pipe" 4<"$LOCK.pipe"
rm -f "$LOCK.pipe"
say "npm ci: installing the packages of package-lock.json ..."
begin=$SECONDS
# No package runs a script of its own while it is installed, but for `node`, which fetches the Node of this machine.
if run npm ci "${SETTINGS[@]}" --ignore-scripts && run npm rebuild node "${SETTINGS[@]}" --no-ignore-scripts && complete installed; then
  touch node_modules/.postern-installed
  say "npm ci: done in $((SECONDS - begin)) s"
  exit 0
fi
space=$(free)
[ "${space:-$NEEDED}" -ge 50 ] || fail "node_modules can't be written ($PWD/node_modules): the disk is full. $NEEDED MB are needed there."
[ -x node_modules/.bin/node ] || fail "The package \`node\` did not install its Node: see what npm says above, then try again."
fail "The packages were not installed completely: see what npm says above, then try again."
