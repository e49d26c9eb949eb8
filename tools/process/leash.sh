# Runs one program for as long as fd 0 is open. Its owner holds the other end, so the program also ends
# when the owner is killed. Arguments: seconds of grace, clean-up command (may be empty), program, its arguments.
# The program's pid is written to fd 3.
grace=$1
after=$2
shift 2
trap '' HUP INT
exec 4<&0
"$@" </dev/null 3>&- 4<&- &
child=$!
echo "$child" >&3
exec 3>&-
(
  trap '' TERM
  exec >/dev/null 2>&1
  read -r _ <&4
  kill -TERM "$child"
  left=$((grace * 10))
  while kill -0 "$child" && [ "$left" -gt 0 ]; do
    sleep 0.1
    left=$((left - 1))
  done
  kill -KILL "$child"
) &
watch=$!
exec 4<&- 0</dev/null
# Asked to end itself, it ends the program in the same orderly way.
trap 'kill -TERM "$child"' TERM
wait "$child"
code=$?
while kill -0 "$child" 2>/dev/null; do
  wait "$child"
  code=$?
done
kill -KILL "$watch" 2>/dev/null
[ -z "$after" ] || eval "$after"
exit "$code"
