# Waits until fd 0 is closed, which is when a run of the tests has ended, however it did; then ends what the run has started and removes its
# folder. Arguments: the folder, whose name marks the run in the environment of its processes, and the label of its containers.
trap '' INT TERM HUP QUIT
folder=$1
label=$2
mark=POSTERN_TEST_RUN=${folder##*/}
read -r _

# Reapers and leashes end by themselves, once they have ended what they watch; whoever kills them before leaves it behind.
marked() {
  if [ -d /proc/self ]; then
    grep -lszx -e "$mark" /proc/[0-9]*/environ | while IFS=/ read -r _ _ pid _; do
      tr '\0' ' ' <"/proc/$pid/cmdline" | sed "s/^/$pid /"
      echo
    done
  else
    ps -axEww -o pid=,command= | grep -F -- "$mark"
  fi 2>/dev/null | grep -v -e '^$' -e sweep.sh
}
tries=0
while left=$(marked) && [ -n "$left" ] && [ "$tries" -lt 100 ]; do
  for pid in $(printf '%s\n' "$left" | grep -v -e postern-reaper -e leash.sh | awk '{ print $1 }'); do kill -KILL "$pid"; done
  sleep 0.1
  tries=$((tries + 1))
done 2>/dev/null
for pid in $(marked | awk '{ print $1 }'); do kill -KILL "$pid"; done 2>/dev/null
# A small disk stays mounted where its leash was killed.
if here=$(cd -- "$folder" && pwd -P) && [ -r /proc/self/mounts ]; then
  cut -d ' ' -f 2 /proc/self/mounts | sed 's/\\040/ /g' | while IFS= read -r mounted; do
    case $mounted in "$here"/*) umount --lazy "$mounted" ;; esac
  done
fi 2>/dev/null
rm -rf -- "$folder" || { sleep 0.5; rm -rf -- "$folder"; }
if command -v docker >/dev/null && [ -n "${DOCKER_HOST:-}${DOCKER_CONTEXT:-}" -o -S /var/run/docker.sock ]; then
  docker ps -aq --filter "label=$label=${folder##*/}" | xargs docker rm -f
fi >/dev/null 2>&1
