#!/bin/sh
# Task Badger: runs a job, and tells the server when it begins and how it ends.
#   run [-o] SLUG COMMAND...  runs COMMAND; with -o, also sends what it prints
#   run [-o] SLUG             prints itself: "$(run SLUG) COMMAND" runs COMMAND even without this file
#   run -b SLUG, run -e SLUG  for systemd: a run begins, and has ended
# COMMAND starts at once, and keeps its input, its output and its exit status. The server has
# 5 seconds for each of its two answers.
server='@SERVER@'
dir=${0%/*}
tools=$PATH:/usr/local/bin:/usr/bin:/bin
rid=

# send END [FILE]
send() (
    PATH=$tools
    { read -r key <"$dir/key" || read -r key <"$dir/keys/$(id -un)"; } && [ -n "$key" ] || exit
    url=$server/ping/$key/$slug$1${rid:+?rid=$rid}
    if command -v curl; then
        # From a file, because others can see the words of a command.
        {
            printf 'url = "%s"\n' "$url"
            [ -z "${2-}" ] || printf 'data-binary = "@%s"\n' "$2"
        } | curl -q -g -s -m 5 -o /dev/null -K -
    elif wget --help 2>&1 | grep -q input-file; then
        printf '%s\n' "$url" | timeout 6 wget -q -T 5 -t 1 -O /dev/null ${2:+"--post-file=$2"} -i -
    else
        timeout 6 wget -q -T 5 -O /dev/null ${2:+"--post-file=$2"} "$url"
    fi
) >/dev/null 2>&1

new_id() {
    # shellcheck disable=SC2046
    set -- $(PATH=$tools od -An -N16 -tx1 /dev/urandom)
    [ $# = 16 ] || return
    rid=$1$2$3$4-$5$6-$7$8-$9${10}-${11}${12}${13}${14}${15}${16}
}

id_of_systemd() {
    rid=$(printf '%s\n' "${1-}" | sed -n 's/^\(.\{8\}\)\(....\)\(....\)\(....\)\(.\{12\}\)$/\1-\2-\3-\4-\5/p')
    mark=/run/taskbadger/$rid
}

begins() {
    id_of_systemd "${INVOCATION_ID-}"
    mkdir -p /run/taskbadger && : >"$mark"
    systemd-run --quiet --no-block "$0" -s "$slug" "${INVOCATION_ID-}" </dev/null || told_start "${INVOCATION_ID-}"
} >/dev/null 2>&1

told_start() {
    id_of_systemd "${1-}"
    send /start
    rm -f "$mark"
} >/dev/null 2>&1

has_ended() {
    id_of_systemd "${INVOCATION_ID-}"
    left=25
    while [ -n "$rid" ] && [ -e "$mark" ] && [ "$left" -gt 0 ]; do
        sleep 0.2 || sleep 1
        left=$((left - 1))
    done
    rm -f "$mark"
    case ${SERVICE_RESULT-success}/${EXIT_CODE-}/${EXIT_STATUS-} in
    success/*) send /0 ;;
    */exited/0) send /fail ;;
    */exited/*) send "/$EXIT_STATUS" ;;
    *) send /fail ;;
    esac
} >/dev/null 2>&1

keep=
case ${1-} in
-b) slug=${2-}; begins; exit 0 ;;
-s) slug=${2-}; told_start "${3-}"; exit 0 ;;
-e) slug=${2-}; has_ended; exit 0 ;;
-o) keep=-o; shift ;;
esac
slug=${1-}
if [ $# -lt 2 ]; then
    printf '%s\n' "$0${keep:+ $keep} $slug"
    exit
fi
shift

# The shell would say on standard error what killed the job.
exec 8>&2 2>/dev/null
new_id
send /start </dev/null 8>&- &
starting=$!
trap : HUP INT QUIT TERM USR1
folder=
if [ -n "$keep" ]; then
    folder=$(PATH=$tools; command -v tee >&2 && command -v tail >&2 && mktemp -d "${TMPDIR:-/tmp}/taskbadger.XXXXXX")
    [ -n "$folder" ] && PATH=$tools mkfifo "$folder/out" "$folder/err" "$folder/both" || keep=
fi
if [ -z "$keep" ]; then
    (exec "$@") 2>&8 8>&-
    status=$?
else
    (PATH=$tools; tail -c 100000 >"$folder/kept"; cat >/dev/null) <"$folder/both" 8>&- >/dev/null &
    keeping=$!
    # Each tee holds this end from its start: otherwise who reads could end before the second writes.
    exec 9>"$folder/both"
    # One pipe for both if both go to the same file, so that lines stay in their order.
    if [ /dev/fd/1 -ef /dev/fd/8 ]; then
        (PATH=$tools; exec tee "$folder/both") <"$folder/out" 8>&- &
        exec 9>&-
        (exec "$@") >"$folder/out" 2>&1 8>&-
        status=$?
    else
        (PATH=$tools; exec tee "$folder/both") <"$folder/out" 8>&- &
        (PATH=$tools; exec tee "$folder/both") <"$folder/err" >&8 8>&- &
        exec 9>&-
        (exec "$@") >"$folder/out" 2>"$folder/err" 8>&-
        status=$?
    fi
    # Who was left behind by the job may print for hours.
    (PATH=$tools; sleep 2; kill -s USR1 $$) </dev/null >/dev/null 8>&- &
    waiting=$!
    wait "$keeping"
    kill "$waiting"
fi
exec 8>&-
wait "$starting"
if [ -n "$keep" ] && [ -s "$folder/kept" ]; then
    send "/$status" "$folder/kept"
else
    send "/$status"
fi
[ -z "$folder" ] || PATH=$tools rm -rf "$folder"
exit "$status"
