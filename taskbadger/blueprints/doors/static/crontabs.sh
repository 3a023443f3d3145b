#!/bin/sh
# Task Badger watches the jobs of this machine: its crontabs, and its systemd timers.
#
#   curl -fsS SERVER/tb | sh -s --            shows what would be done, and changes nothing
#   curl -fsS SERVER/tb | sh -s -- --apply    makes a monitor for each job, and wraps the job
#   curl -fsS SERVER/tb | sh -s -- --undo     takes it all out again
#
# It needs sh, awk, sed and curl or wget. docs/doors.md of the server says how it works.

SERVER='@SERVER@'

usage() {
    cat <<'EOF'
usage: sh tb [OPTION]...

Shows what it would do to the crontab of this user and, as root, to /etc/crontab, /etc/cron.d and
the services of systemd timers. Each job gets a monitor, and tells it when it begins and ends.

  --apply            do it
  --undo             take it out again
  --key-file FILE    the file with the key for pings, or with its ping address
  --key KEY          the key itself, which other users of this machine can see meanwhile.
                     Better: the variable TASKBADGER_PING_KEY. --apply remembers the key.
  --server URL       the server, if it is not where this script comes from
  --only REGEX       only lines (and timers) that match this extended regular expression
  --exclude REGEX    none of those that match this one
  --output           also send what the jobs print: the last 100 kB
  --prefix TEXT      how slugs begin (default: the name of this machine)
  --tz ZONE          the time zone of the schedules (default: that of this machine)
  --grace SECONDS    how late a job may start (default: 60, and what a timer allows)
  --max-runtime SECONDS    how long a job may run (default: as long as it likes)
  --again            send all schedules again, also those that have been sent before
  --dir DIR          where the helper goes (root: /usr/local/lib/taskbadger, else ~/.taskbadger)
  --etc DIR          where the files of the system are (default: /etc)
EOF
}

# What reads and writes lines of crontabs, for awk. Bytes, not characters: LC_ALL is C.
# shellcheck disable=SC2016 # awk has dollar signs of its own.
LINES='
function eat(re) {
    if (!match(R, re)) return 0
    TOKEN = substr(R, 1, RLENGTH)
    R = substr(R, RLENGTH + 1)
    return 1
}
# Splits a line into HEAD (the time, the user, and blanks), COMMAND, and INPUT (from the first %).
function split_line(line,   count, i, word) {
    R = line; SCHEDULE = OWNER = ""
    eat("^[ \t]*")
    count = R ~ /^@/ ? 1 : 5
    for (i = 1; i <= count; i++) {
        if (!eat("^[^ \t]+")) return 0
        word = TOKEN
        if (i == 1) sub(/^-/, "", word)
        SCHEDULE = SCHEDULE (i > 1 ? " " : "") word
        if (!eat("^[ \t]+")) return 0
    }
    if (with_user) {
        if (!eat("^[^ \t]+")) return 0
        OWNER = TOKEN
        if (!eat("^[ \t]+")) return 0
    }
    if (R == "") return 0
    HEAD = substr(line, 1, length(line) - length(R))
    count = literal ? length(R) : before_percent(R)
    COMMAND = substr(R, 1, count)
    INPUT = substr(R, count + 1)
    return 1
}
function before_percent(text,   i, c, escaped) {
    if (!index(text, "%")) return length(text)
    for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (escaped) escaped = 0
        else if (c == "\\") escaped = 1
        else if (c == "%") return i - 1
    }
    return length(text)
}
function is_job(line) { return line !~ /^[ \t]*(#|$)/ && !is_setting(line) }
function is_setting(line) {
    return line ~ /^[ \t]*("[^"]*"|\047[^\047]*\047|[^ \t="\047]+)[ \t]*=/
}
function read_setting(line,   name) {
    name = line
    sub(/[ \t]*=.*/, "", name)
    gsub(/[ \t"\047]/, "", name)
    sub(/^[^=]*=[ \t]*/, "", line)
    sub(/[ \t]+$/, "", line)
    gsub(/^["\047]|["\047]$/, "", line)
    if (name == "SHELL") SHELL = line
    if (name == "CRON_TZ") ZONE = line
}
function quoted(text,   n, parts, i, all) {
    n = split(text, parts, "\047")
    all = parts[1]
    for (i = 2; i <= n; i++) all = all "\047\\\047\047" parts[i]
    return "\047" all "\047"
}
function wrapped(slug, with_output) {
    return HEAD "$(" dir "/run " (with_output ? "-o " : "") slug ") ${SHELL:-sh} -c " \
        quoted(COMMAND) INPUT
}
# Reads a wrapped line after split_line: SLUG, KEEPS_OUTPUT, and ORIGINAL. 0: it is not wrapped;
# -1: it was, and has been changed so that it cannot be read.
function unwrap(   all, text, at) {
    all = COMMAND INPUT
    if (!match(all, "^[$][(]/[^ ()$]*/run (-o )?[a-z0-9_-]+[)] [$][{]SHELL:-sh[}] -c \047")) return 0
    SLUG = substr(all, 1, RLENGTH)
    all = substr(all, RLENGTH + 1)
    sub(/[)].*/, "", SLUG)
    KEEPS_OUTPUT = SLUG ~ / -o /
    sub(/.* /, "", SLUG)
    text = ""
    while (at = index(all, "\047")) {
        text = text substr(all, 1, at - 1)
        all = substr(all, at + 1)
        if (substr(all, 1, 3) != "\\\047\047") {
            if (all != "" && all !~ /^%/) return -1
            ORIGINAL = text all
            return 1
        }
        text = text "\047"
        all = substr(all, 4)
    }
    return -1
}
function selected(line) {
    if (ENVIRON["TB_ONLY"] != "" && line !~ ENVIRON["TB_ONLY"]) return 0
    return ENVIRON["TB_EXCLUDE"] == "" || line !~ ENVIRON["TB_EXCLUDE"]
}
'

# What decides about jobs: slugs, names and schedules.
# shellcheck disable=SC2016
JOBS='
function checksum(text,   i, sum) {
    if (!("a" in code)) for (i = 1; i < 256; i++) code[sprintf("%c", i)] = i
    sum = 5381
    for (i = 1; i <= length(text); i++) sum = (sum * 33 + code[substr(text, i, 1)]) % 16777213
    return sprintf("%06x", sum)
}
# Up to four words of a command that say what it is, and nothing that may be secret.
function words_of(text,   n, parts, i, word, all, count, is_value) {
    gsub(/\\%/, "%", text)
    do {
        n = length(text)
        sub(/^[ \t({!]+/, "", text)
        sub(/^if[ \t][^;]*;[ \t]*then[ \t]/, "", text)
        sub(/^(cd|test|\[|\[\[|[.]|source|export|umask|ulimit|set|sleep)[ \t][^;&|]*(;|&&|[|][|])/, "", text)
        sub(/^[A-Za-z_][A-Za-z0-9_]*=("[^"]*"|\047[^\047]*\047|[^ \t;"\047]*)[ \t;]+/, "", text)
        if (sub(/^([^ \t]*\/)?(nice|ionice|nohup|env|exec|time|command|sudo|setsid|timeout|chronic|chrt)[ \t]+/, "", text))
            while (sub(/^(-[^ \t]*|[0-9]+[smhd]?)[ \t]+/, "", text)) continue
        if (sub(/^([^ \t]*\/)?flock[ \t]+/, "", text)) {
            while (sub(/^(-[^ \t]*|[0-9]+)[ \t]+/, "", text)) continue
            sub(/^[^ \t]+[ \t]+/, "", text)
        }
    } while (length(text) < n)
    if (match(text, /[0-9]*[<>]|[;|&`]/)) text = substr(text, 1, RSTART - 1)
    n = split(text, parts, /[ \t]+/)
    for (i = 1; i <= n && count < 4; i++) {
        word = parts[i]
        if (word ~ /^-/) { is_value = 1; continue }
        if ((is_value && word !~ /\//) || word ~ /@|=|:\/\//) { is_value = 0; continue }
        is_value = 0
        sub(/\/+$/, "", word)
        sub(/^.*\//, "", word)
        sub(/[)}]+$/, "", word)
        if (word !~ /^[A-Za-z0-9_.:-]+$/ || length(word) > 30) continue
        all = all (count++ ? " " : "") word
    }
    return all == "" ? "job" : all
}
function slug_of(words, text,   slug, n) {
    words = tolower(words)
    gsub(/[^a-z0-9]+/, "-", words)
    words = substr(words, 1, 45)
    gsub(/^-+|-+$/, "", words)
    slug = prefix "-" words "-" checksum(text)
    n = 1
    while ((n == 1 ? slug : slug "-" n) in taken) n++
    if (n > 1) slug = slug "-" n
    taken[slug] = 1
    return slug
}
function read_taken(   line) {
    while ((getline line < taken_file) > 0) taken[line] = 1
    close(taken_file)
}
function encoded(text) {
    gsub(/%/, "%25", text); gsub(/ /, "%20", text); gsub(/[+]/, "%2B", text)
    return text
}
function number(text, names,   at) {
    if (text ~ /^[0-9]+$/) return text + 0
    at = index(names, tolower(text))
    return length(text) == 3 && at % 3 == 1 ? (at + 2) / 3 - 1 + (names ~ /^jan/) : -1
}
function is_field(text, low, high, names,   n, terms, i, ends) {
    n = split(text, terms, ",")
    for (i = 1; i <= n; i++) {
        if (terms[i] !~ /^([*]|[0-9]+|[A-Za-z]+)(-([0-9]+|[A-Za-z]+))?(\/[1-9][0-9]*)?$/) return 0
        sub(/\/.*/, "", terms[i])
        if (terms[i] == "*") continue
        if (split(terms[i], ends, "-") == 1) ends[2] = ends[1]
        ends[1] = number(ends[1], names); ends[2] = number(ends[2], names)
        if (ends[1] < low || ends[2] < ends[1] || ends[2] > high) return 0
    }
    return n > 0
}
# The query of a schedule; sets WHEN, or WHY if there is none.
function query_of(schedule, zone,   f, low) {
    low = tolower(schedule)
    if (low == "@reboot") { WHEN = "@reboot"; return "interval=31536000" }
    if (low == "@every_minute") schedule = "* * * * *"
    else if (low ~ /^@(hourly|daily|midnight|weekly|monthly|yearly|annually)$/) schedule = low
    else if (low ~ /^@/) { WHY = "“" schedule "” is not a time that the server knows"; return "" }
    else {
        split(schedule, f, " ")
        if (!is_field(f[1], 0, 59, "")) WHY = f[1]
        else if (!is_field(f[2], 0, 23, "")) WHY = f[2]
        else if (!is_field(f[3], 1, 31, "")) WHY = f[3]
        else if (!is_field(f[4], 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec")) WHY = f[4]
        else if (!is_field(f[5], 0, 7, "sunmontuewedthufrisat")) WHY = f[5]
        if (WHY != "") { WHY = "“" WHY "” is not a time that the server knows"; return "" }
    }
    WHEN = schedule " " zone
    return "schedule=" encoded(schedule) "&tz=" encoded(zone)
}
function limits(more,   all) {
    if (grace != "") all = "&grace=" grace
    else if (more) all = "&grace=" 60 + more
    return all (max_runtime == "" ? "" : "&max_runtime=" max_runtime)
}
# number|what|slug|query|owner|when|text: one line for each job.
function record(n, what, slug, query, text) {
    print n "|" what "|" slug "|" query "|" OWNER "|" WHEN "|" text
}
'

# shellcheck disable=SC2016
READ_CRONTAB='
BEGIN { read_taken(); SHELL = "/bin/sh"; ZONE = zone }
{ LINE[NR] = $0 }
END { for (n = 1; n <= NR; n++) look_at(LINE[n], n) }
function look_at(line, n,   state, text, slug, query) {
    if (is_setting(line)) read_setting(line)
    if (!is_job(line)) return
    WHY = WHEN = OWNER = ""
    if (!split_line(line)) { if (selected(line)) record(n, "bad", "", "", "it has no command: " line); return }
    state = unwrap()
    if (state == 1) { slug = SLUG; COMMAND = ORIGINAL; INPUT = "" }
    text = HEAD COMMAND INPUT
    if (!selected(text)) return
    if (state < 0) WHY = "it was wrapped, and has been changed since"
    else if (SHELL !~ /(^|\/)(sh|dash|ash|bash|ksh|mksh|ksh93|zsh)$/) WHY = "SHELL is " SHELL
    else if (COMMAND ~ /^-/) WHY = "its command begins with a flag of cron"
    else if (state == 0 && index(COMMAND, "/ping/")) WHY = "it pings by itself"
    else if (COMMAND ~ /^[ \t]*$/) WHY = "it has no command"
    query = WHY == "" ? query_of(SCHEDULE, ZONE) : ""
    if (WHY != "") { record(n, "bad", "", "", WHY ": " text); return }
    words = words_of(state == 1 ? before_input(COMMAND) : COMMAND)
    if (state == 0) slug = slug_of(words, COMMAND INPUT)
    if (state == 0 && length(line) <= 990 && length(wrapped(slug, output)) > 990) {
        record(n, "bad", "", "", "it would be longer than many crons take: " text)
        return
    }
    query = query limits(0) "&name=" encoded(words " on " host)
    record(n, state == 0 ? "add" : output && !KEEPS_OUTPUT ? "change" : "same", slug, query, text)
}
function before_input(text) { return literal ? text : substr(text, 1, before_percent(text)) }
'

# shellcheck disable=SC2016
WRAP='
BEGIN {
    while ((getline line < chosen) > 0) { split(line, part, " "); slug[part[1]] = part[2] }
}
!(NR in slug) { print; next }
{
    split_line($0)
    keep = output
    if (unwrap() == 1) {
        split_line(HEAD ORIGINAL)
        keep = output || KEEPS_OUTPUT
    }
    print wrapped(slug[NR], keep)
}
'

# shellcheck disable=SC2016
UNWRAP='
is_job($0) && split_line($0) && unwrap() == 1 && selected(HEAD ORIGINAL) { print HEAD ORIGINAL; next }
{ print }
'

# shellcheck disable=SC2016
SLUGS='is_job($0) && split_line($0) && unwrap() == 1 { print SLUG }'

# Reads what `systemctl show` says about timers, with a blank line after each.
# shellcheck disable=SC2016
READ_TIMERS='
BEGIN { FS = "="; read_taken() }
/^Id=/ { id = substr($0, 4) }
/^Unit=/ { unit = substr($0, 6) }
/^AccuracyUSec=/ { late += seconds(substr($0, 14)) }
/^RandomizedDelayUSec=/ { late += seconds(substr($0, 21)) }
/^TimersCalendar=/ { calendars++; calendar = inner($0) }
/^TimersMonotonic=/ { base = $0; sub(/^[^{]*[{] */, "", base); sub(/=.*/, "", base); span[base] = seconds(inner($0)) }
/^$/ { look_at() }
END { look_at() }
function inner(text) {
    sub(/^[^{]*[{] *[A-Za-z]*=/, "", text)
    sub(/ *;.*/, "", text)
    return text
}
function seconds(text,   all, n, size) {
    size = 0
    while (match(text, /[0-9.]+(us|ms|min|month|s|h|d|w|y)/)) {
        n = substr(text, RSTART, RLENGTH)
        text = substr(text, RSTART + RLENGTH)
        size = n
        sub(/[0-9.]+/, "", size)
        all += n * (size == "us" ? 0.000001 : size == "ms" ? 0.001 : size == "s" ? 1 : size == "min" ? 60 : \
            size == "h" ? 3600 : size == "d" ? 86400 : size == "w" ? 604800 : size == "month" ? 2629800 : 31557600)
    }
    return int(all + 0.5)
}
function part(text, low, high,   n, terms, i, all) {
    n = split(text, terms, ",")
    for (i = 1; i <= n; i++) {
        if (terms[i] !~ /^([*]|[0-9]+([.][.][0-9]+)?)(\/[0-9]+)?$/) return ""
        if (terms[i] ~ /^[0-9]+\//) sub(/\//, "-" high "/", terms[i])
        sub(/[.][.]/, "-", terms[i])
        while (sub(/^0[0-9]/, substr(terms[i], 2, 1), terms[i])) continue
        if (match(terms[i], /-0[0-9]/)) terms[i] = substr(terms[i], 1, RSTART) substr(terms[i], RSTART + 2)
        all = all (i > 1 ? "," : "") terms[i]
    }
    return all
}
function days(text,   n, terms, i, names) {
    text = tolower(text)
    for (i = split("mon tue wed thu fri sat sun", names, " "); i; i--) gsub(names[i] "[a-z]*", i, text)
    gsub(/[.][.]/, "-", text)
    return text ~ /^[-1-7,]+$/ ? text : ""
}
# A calendar expression as systemctl prints it: [days] year-month-day hour:minute:second [zone].
function cron_of(text,   n, words, at, day, date, clock, fields) {
    ZONE = zone
    n = split(text, words, " ")
    at = 1
    day = "*"
    if (words[1] !~ /[-:]/) day = days(words[at++])
    if (split(words[at++], date, "-") != 3 || split(words[at++], clock, ":") != 3) return ""
    if (at <= n) ZONE = words[at]
    if (date[1] != "*" || clock[3] !~ /^[0-9][0-9]([.]0+)?$/) return ""
    if (day != "*" && date[3] != "*") return ""
    fields = part(clock[2], 0, 59) " " part(clock[1], 0, 23) " " part(date[3], 1, 31) " " part(date[2], 1, 12) " " day
    return split(fields, words, " ") == 5 ? fields : ""
}
function look_at(   query, name, times, when) {
    if (id == "") return
    WHY = WHEN = OWNER = query = ""
    for (base in span) times++
    if (!selected(id)) { forget(); return }
    if (unit !~ /[.]service$/) WHY = "it starts " unit
    else if (calendars > 1 || (calendars && times)) WHY = "it has several schedules"
    else if (calendars) {
        when = cron_of(calendar)
        if (when == "") WHY = "“" calendar "” is not a time that the server knows"
        else query = query_of(when, ZONE)
    } else if ("OnUnitInactiveUSec" in span) WHY = "it counts from the end of a run"
    else if ("OnUnitActiveUSec" in span) {
        if (span["OnUnitActiveUSec"] < 60) WHY = "it starts more than once a minute"
        query = "interval=" span["OnUnitActiveUSec"]
        WHEN = "every " span["OnUnitActiveUSec"] " s"
    } else { query = "interval=31536000"; WHEN = "once after a start" }
    name = unit
    sub(/[.]service$/, "", name)
    OWNER = unit
    if (WHY != "") record(0, "bad", "", "", WHY ": " id)
    else record(0, "add", slug_of(name, unit), query limits(late) "&name=" plain(name) "%20on%20" host, id)
    forget()
}
function plain(text) { gsub(/[^A-Za-z0-9_.:-]+/, "-", text); return text }
function forget() { id = unit = calendar = ""; calendars = late = 0; split("", span) }
'

helper() {
    sed "s|@SERVER@|$server|" <<'EOF'
@HELPER@
EOF
}

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }
fail() { warn "tb: $*"; exit 1; }
misuse() { warn "tb: $*"; warn "sh tb --help lists the options."; exit 2; }
has() { command -v "$1" >/dev/null 2>&1; }

read_options() {
    apply='' undo='' key=${TASKBADGER_PING_KEY-} key_file='' prefix='' zone='' grace='' max_runtime=''
    output=0 again='' dir=${TASKBADGER_DIR-} etc=/etc TB_ONLY='' TB_EXCLUDE='' server=''
    while [ $# -gt 0 ]; do
        case $1 in
        --*=*)
            value=${1#*=} option=${1%%=*}
            shift
            set -- "$option" "$value" "$@"
            continue
            ;;
        --apply) apply=1 ;;
        --undo) undo=1 ;;
        --output) output=1 ;;
        --again) again=1 ;;
        -h | --help) usage; exit 0 ;;
        --key | --key-file | --server | --only | --exclude | --prefix | --tz | --grace | --max-runtime | --dir | --etc)
            [ $# -gt 1 ] || misuse "$1 needs a value."
            case $1 in
            --key) key=$2 ;;
            --key-file) key_file=$2 ;;
            --server) server=$2 ;;
            --only) TB_ONLY=$2 ;;
            --exclude) TB_EXCLUDE=$2 ;;
            --prefix) prefix=$2 ;;
            --tz) zone=$2 ;;
            --grace) grace=$2 ;;
            --max-runtime) max_runtime=$2 ;;
            --dir) dir=$2 ;;
            --etc) etc=$2 ;;
            esac
            shift
            ;;
        *) misuse "there is no option $1." ;;
        esac
        shift
    done
    export TB_ONLY TB_EXCLUDE
    [ -z "$apply" ] || [ -z "$undo" ] || misuse "--apply and --undo exclude each other."
    for number in "$grace" "$max_runtime"; do
        case $number in *[!0-9]*) misuse "$number is not a number of seconds." ;; esac
    done
    for regex in "$TB_ONLY" "$TB_EXCLUDE"; do
        TB_REGEX=$regex awk 'BEGIN { found = "" ~ ENVIRON["TB_REGEX"]; exit }' 2>/dev/null ||
            misuse "$regex is not a regular expression."
    done
    case $zone in *[!A-Za-z0-9_+/-]*) misuse "$zone is not a time zone." ;; esac
    case $prefix in *[!a-z0-9_-]* | ???????????????????????????????*)
        misuse "a prefix has up to 30 of a-z, 0-9, - and _." ;;
    esac
}

is_root() { [ "$(id -u)" = 0 ]; }

find_settings() {
    user=$(id -un)
    host=$(uname -n | tr '[:upper:]' '[:lower:]' | sed 's/[.].*//; s/[^a-z0-9-]/-/g' | cut -c 1-30)
    [ -n "$host" ] || host=machine
    [ -n "$prefix" ] || prefix=$host
    [ -n "$zone" ] || zone=$(find_zone)
    if [ -z "$dir" ]; then
        if is_root; then dir=/usr/local/lib/taskbadger; else dir=${HOME-}/.taskbadger; fi
    fi
    case $dir in
    /*[!A-Za-z0-9_./+@:,-]* | [!/]* | /) fail "$dir cannot be the folder of the helper: give --dir an absolute path without spaces." ;;
    esac
    case $server in
    '')
        case $SERVER in http*) server=$SERVER ;; esac
        ;;
    esac
    literal=0
    crontab_program=$(command -v crontab || true)
    case $(readlink -f "$crontab_program" 2>/dev/null) in *busybox*) literal=1 ;; esac
}

find_zone() {
    found=${TZ-}
    [ -n "$found" ] || found=$(cat "$etc/timezone" 2>/dev/null | head -n 1)
    [ -n "$found" ] || found=$(readlink "$etc/localtime" 2>/dev/null | sed -n 's#.*/zoneinfo/##p')
    found=${found#:}
    case $found in '' | *[!A-Za-z0-9_+/-]*) found=UTC ;; esac
    say "$found"
}

# Sets key and server from what was given: a ping address, the secret of a key, or the whole key.
read_key() {
    if [ -n "$key_file" ]; then
        [ -r "$key_file" ] || fail "$key_file cannot be read."
        key=''
        read -r key <"$key_file"
    fi
    [ -n "$key" ] || { [ -r "$dir/key" ] && read -r key <"$dir/key"; }
    case $key in
    '') fail "a key with the scope ping is needed: give --key-file FILE, or the variable TASKBADGER_PING_KEY." ;;
    http*/ping/*)
        [ -n "$server" ] || server=${key%/ping/*}
        key=${key##*/ping/}
        key=${key%/}
        ;;
    *.*) ;;
    *) key=$(printf '%s' "$key" | base64 -d 2>/dev/null | sed 's#.*/##') ;;
    esac
    case $key in '' | *[!A-Za-z0-9._-]*) fail "this is not a key." ;; esac
}

check_server() {
    server=${server%/}
    case $server in
    '') fail "the address of the server is needed: --server https://…" ;;
    http://*[!A-Za-z0-9._~:/%@\[\]-]* | https://*[!A-Za-z0-9._~:/%@\[\]-]*) fail "$server is not the address of a server." ;;
    http://?* | https://?*) ;;
    *) fail "$server is not the address of a server." ;;
    esac
}

# request PATH-AND-QUERY: sets status (000 if there is no answer) and answer.
request() {
    : >"$work/answer"
    if has curl; then
        status=$(printf 'url = "%s"\n' "$server/ping/$key/$1" |
            curl -q -g -s -m 10 -A taskbadger-crontabs -o "$work/answer" -w '%{http_code}' -K -)
    else
        if wget --help 2>&1 | grep -q input-file; then
            printf '%s\n' "$server/ping/$key/$1" |
                wget -q -S --content-on-error -T 10 -t 1 -O "$work/answer" -i - 2>"$work/headers"
        else
            wget -S -T 10 -O "$work/answer" "$server/ping/$key/$1" 2>"$work/headers"
        fi
        status=$(sed -n 's#.*HTTP/[0-9.]* \([0-9][0-9][0-9]\).*#\1#p' "$work/headers" | tail -n 1)
    fi
    [ -n "$status" ] || status=000
    answer=$(head -c 500 "$work/answer")
}

# register SLUG QUERY: makes or changes a monitor. 1: the server refuses it; answer says why.
register() {
    tries=0
    while :; do
        request "$1/log?create=1&$2"
        case $status in
        200 | 201) return 0 ;;
        400) return 1 ;;
        404) stop="the server at $server does not know this key for pings" ;;
        429 | 503)
            tries=$((tries + 1))
            if [ "$tries" -le 5 ]; then sleep 15; continue; fi
            stop="the server at $server has too much to do ($answer)"
            ;;
        000) stop="the server at $server cannot be reached" ;;
        *) stop="the server at $server answered $status" ;;
        esac
        answer=$stop
        return 1
    done
}

lines() {
    program=$1
    shift
    awk -v with_user="$with_user" -v literal="$literal" -v dir="$dir" -v output="$output" \
        -v prefix="$prefix" -v host="$host" -v zone="$zone" -v grace="$grace" \
        -v max_runtime="$max_runtime" -v taken_file="$work/taken" -v chosen="${chosen-}" "$LINES$JOBS$program" "$@"
}

# Lays each crontab into a numbered file: N.old, its name N.name, and N.path if it has one.
collect() {
    count=0
    if has crontab; then
        if crontab -l >"$work/list" 2>"$work/error" </dev/null; then
            add_source "crontab of $user" ''
        elif ! grep -qi 'no crontab' "$work/error" && [ -s "$work/error" ]; then
            warn "crontab of $user: $(head -n 1 "$work/error")"
        fi
    fi
    if ! is_root; then
        say "Not root: only the crontab of $user is read."
        return
    fi
    for path in "$etc/crontab" "$etc"/cron.d/*; do
        [ -f "$path" ] || continue
        name=${path##*/}
        case $name in
        *[!A-Za-z0-9_-]*)
            case $name in *~ | *.dpkg-* | *.rpm* | *.bak | *.disabled | *.swp) continue ;; esac
            if [ -e "$etc/debian_version" ]; then
                say "$path: cron does not read a file of this name; left alone"
                continue
            fi
            ;;
        esac
        if [ -L "$path" ]; then
            path=$(readlink -f "$path" 2>/dev/null)
            [ -f "$path" ] || continue
        fi
        if ! cat "$path" >"$work/list" 2>/dev/null; then
            say "$path: it cannot be read; left alone"
            continue
        fi
        add_source "$path" "$path"
    done
}

add_source() {
    tr -d '\000' <"$work/list" >"$work/text"
    if ! cmp -s "$work/text" "$work/list"; then
        say "$1: it has NUL bytes; left alone"
        return
    fi
    count=$((count + 1))
    mv "$work/list" "$work/$count.old"
    printf '%s' "$1" >"$work/$count.name"
    printf '%s' "$2" >"$work/$count.path"
}

# use N: sets name, path and with_user.
use() {
    name=$(cat "$work/$1.name")
    path=$(cat "$work/$1.path")
    with_user=0
    [ -z "$path" ] || with_user=1
}

each_source() {
    number=1
    while [ "$number" -le "$count" ]; do
        use "$number"
        "$1" "$number"
        number=$((number + 1))
    done
}

note_slugs() { lines "$SLUGS" "$work/$1.old" >>"$work/taken"; }

look_at() { lines "$READ_CRONTAB" "$work/$1.old" >"$work/$1.jobs"; }

# The timers that run, as `systemctl show` describes them, become the jobs of the source “timers”.
look_at_timers() {
    : >"$work/timers.jobs"
    is_root && has systemctl || return 0
    systemctl list-units --type=timer --all --plain --no-legend --no-pager </dev/null 2>/dev/null |
        awk '$3 == "active" { print $1 }' >"$work/timers"
    [ -s "$work/timers" ] || return 0
    # shellcheck disable=SC2046 # Names of units have no spaces.
    systemctl show --no-pager -p Id -p Unit -p TimersCalendar -p TimersMonotonic -p AccuracyUSec \
        -p RandomizedDelayUSec -- $(cat "$work/timers") </dev/null >"$work/shown" 2>/dev/null || return 0
    with_user=0
    lines "$READ_TIMERS" "$work/shown" >"$work/timers.jobs"
}

was_sent() { [ -z "$again" ] && grep -qxF "$1 $2" "$dir/sent" 2>/dev/null; }

drop_in_of() { printf '%s' "$etc/systemd/system/$1.d/taskbadger.conf"; }

drop_in() {
    cat <<EOF
# Task Badger: tells the server of each run, as for $2. The option --undo removes this file.
[Service]
ExecStartPre=-+$dir/run -b $1
ExecStopPost=-+$dir/run -e $1
EOF
}

# Shows the jobs of a file that look_at has written, and counts them; with --apply, registers them.
show_jobs() {
    jobs=$1
    : >"$jobs.chosen"
    shown_name=''
    while IFS='|' read -r line what slug query owner when text; do
        place="line $line"
        [ "$line" != 0 ] || place=$owner
        status='' answer=''
        if [ "$line" = 0 ] && [ "$what" = add ]; then
            file=$(drop_in_of "$owner")
            there=$(sed -n 's/^ExecStartPre=.* -b //p' "$file" 2>/dev/null)
            [ -z "$there" ] || what=same slug=$there
        fi
        [ "$what" != same ] || was_sent "$slug" "$query" || what=send
        # A line that is to keep its output has been sent before.
        needed=1
        [ "$what" != change ] || ! was_sent "$slug" "$query" || needed=''
        case $what in
        bad) sign='!' left=$((left + 1)) ;;
        same) sign='=' same=$((same + 1)) ;;
        *) sign='+' ;;
        esac
        if [ "$sign" = + ] && [ -n "$apply" ] && [ -n "$needed" ]; then
            if [ -n "$stop" ] || ! register "$slug" "$query"; then
                sign='!' failed=1 refused=$((refused + 1))
                text="not changed, because ${stop:-the server says “$answer”}: $text"
                what=bad
            else
                sent_something=1
                say "$slug $query" >>"$work/sent"
            fi
        fi
        case $what in
        add | change)
            added=$((added + 1))
            say "$line $slug $owner $text" >>"$jobs.chosen"
            ;;
        send) resent=$((resent + 1)) ;;
        esac
        [ "$what" = bad ] || [ "$line" = 0 ] || [ -z "$owner" ] || say "${owner%%:*}" >>"$work/owners"
        [ "$what" != same ] || continue
        if [ -z "$shown_name" ]; then
            shown_name=1
            say "$name:"
        fi
        case $what in
        bad) say "  $sign $place: left alone: $text" ;;
        *)
            say "  $sign $place: $text"
            case $status/$answer in
            200/*kept*) note=', whose schedule people have changed: theirs stays' ;;
            *) note='' ;;
            esac
            say "      monitor $slug, $when$note"
            ;;
        esac
    done <"$jobs"
}

show_source() { show_jobs "$work/$1.jobs"; }

# Installs what the lines need: the helper, and the key for each user who has lines.
install_helper() {
    mode=755
    is_root || mode=700
    [ -d "$dir" ] || { mkdir -p "$dir" && chmod "$mode" "$dir"; } || fail "$dir cannot be made."
    helper >"$work/run"
    put "$work/run" "$dir/run" 755
    say "$key" >"$work/key"
    put "$work/key" "$dir/key" 600
    [ -f "$work/owners" ] || return 0
    sort -u "$work/owners" >"$work/users"
    while read -r owner; do
        [ "$owner" != "$user" ] || continue
        [ -d "$dir/keys" ] || { mkdir "$dir/keys" && chmod 755 "$dir/keys"; }
        put "$work/key" "$dir/keys/$owner" 400 "$owner" ||
            warn "There is no user $owner: the jobs run, but cannot tell the server."
    done <"$work/users"
}

# put FILE TARGET MODE [OWNER]: writes a file of ours at once, unless it is there.
put() {
    if cmp -s "$1" "$2"; then return 0; fi
    (umask 077; cat "$1" >"$2.new") || fail "$2 cannot be written."
    if { [ -z "${4-}" ] || chown "$4" "$2.new" 2>/dev/null; } && chmod "$3" "$2.new" && mv -f "$2.new" "$2"; then
        changed_files=1
    else
        rm -f "$2.new"
        return 1
    fi
}

# transform PROGRAM FILE NEW: awk ends each line, so the last one gets back what it had.
transform() {
    lines "$1" "$2" >"$3" || fail "$name: awk failed; nothing was changed in it."
    [ -z "$(tail -c 1 "$2")" ] || {
        awk 'NR > 1 { print last } { last = $0 } END { printf "%s", last }' "$3" >"$work/cut" &&
            mv "$work/cut" "$3"
    }
}

wrap_source() {
    chosen=$work/$1.jobs.chosen
    [ -s "$chosen" ] || return 0
    transform "$WRAP" "$work/$1.old" "$work/$1.new"
    # What is written must lead back to what was there.
    (
        TB_ONLY='' TB_EXCLUDE=''
        transform "$UNWRAP" "$work/$1.old" "$work/plain"
        transform "$UNWRAP" "$work/$1.new" "$work/back"
    )
    cmp -s "$work/plain" "$work/back" ||
        fail "$name: it could not be taken out again, so nothing was changed in it. Please report this."
    replace "$1"
}

# replace N: puts N.new in the place of N.old, if that is still there, and keeps a copy.
replace() {
    cmp -s "$work/$1.old" "$work/$1.new" && return 0
    if [ -z "$path" ]; then
        crontab -l >"$work/now" 2>/dev/null </dev/null
    else
        cat "$path" >"$work/now"
    fi
    if ! cmp -s "$work/now" "$work/$1.old"; then
        warn "$name: somebody has changed it meanwhile; run this again."
        failed=1
        return 0
    fi
    back_up "$1" || fail "$dir/backup cannot be written."
    if [ -z "$path" ]; then
        crontab "$work/$1.new" </dev/null || fail "$name: crontab refused it; nothing was changed in it."
    else
        # cron reads no file whose name begins with a dot.
        fresh=${path%/*}/.${path##*/}.taskbadger
        { cp -p "$path" "$fresh" && cat "$work/$1.new" >"$fresh" && mv -f "$fresh" "$path"; } || {
            rm -f "$fresh"
            fail "$name: it cannot be written; nothing was changed in it."
        }
    fi
    written=$((written + 1))
}

back_up() {
    (
        umask 077
        mkdir -p "$dir/backup" || exit 1
        copy=$dir/backup/$(flat_name).$(date -u +%Y%m%dT%H%M%SZ)
        while [ -e "$copy" ]; do copy=$copy-; done
        cp "$work/$1.old" "$copy"
    )
}

flat_name() { printf '%s' "${path:-crontab-$user}" | sed 's#^/##; s#/#-#g'; }

wrap_timers() {
    [ -s "$work/timers.jobs.chosen" ] || return 0
    while read -r _ slug owner timer; do
        file=$(drop_in_of "$owner")
        (umask 022 && mkdir -p "${file%/*}") || fail "${file%/*} cannot be made."
        drop_in "$slug" "$timer" >"$work/drop-in"
        put "$work/drop-in" "$file" 644
        written=$((written + 1))
    done <"$work/timers.jobs.chosen"
    systemctl daemon-reload </dev/null
}

plan_or_apply() {
    added=0 same=0 resent=0 left=0 refused=0 written=0 failed='' stop='' changed_files='' sent_something=''
    if [ -n "$apply" ]; then
        read_key
        check_server
        has curl || has wget || fail "curl or wget is needed."
    fi
    : >"$work/sent"
    each_source look_at
    look_at_timers
    each_source show_source
    name='timers of systemd'
    show_jobs "$work/timers.jobs"
    if [ -z "$apply" ]; then
        say "$added to add, $resent to send again, $same as they are, $left left alone." \
            "Nothing was changed: --apply does it."
        return
    fi
    if [ "$((added + same + resent))" -gt 0 ]; then
        install_helper
        each_source wrap_source
        wrap_timers
        remember
    fi
    if [ -z "$changed_files$sent_something" ] && [ "$written" = 0 ]; then
        say "Nothing to change: $same as they are, $((left + refused)) left alone."
    else
        say "$added added, $resent sent again, $same as they were, $((left + refused)) left alone." \
            "--undo takes it out again; copies are in $dir/backup."
    fi
    [ -z "$stop" ] || warn "tb: $stop; run this again later."
    [ -z "$failed" ] || exit 1
}

# The last schedule of each monitor, so that the next run sends only what is new.
remember() {
    [ -s "$work/sent" ] || return 0
    [ ! -f "$dir/sent" ] || cat "$dir/sent" >"$work/sent.before"
    touch "$work/sent.before"
    awk 'NR == FNR { new[$1] = $0; print; next } !($1 in new)' "$work/sent" "$work/sent.before" >"$work/sent.all"
    put "$work/sent.all" "$dir/sent" 600
}

unwrap_source() {
    transform "$UNWRAP" "$work/$1.old" "$work/$1.new"
    cmp -s "$work/$1.old" "$work/$1.new" && return 0
    changed=$(awk 'NR == FNR { old[FNR] = $0; next } old[FNR] != $0 { n++ } END { print n + 0 }' \
        "$work/$1.old" "$work/$1.new")
    say "$name: lines as they were: $changed"
    replace "$1"
}

undo_all() {
    written=0 failed=''
    each_source unwrap_source
    if is_root; then
        for file in "$etc"/systemd/system/*.service.d/taskbadger.conf; do
            [ -f "$file" ] || continue
            owner=${file%.d/taskbadger.conf}
            owner=${owner##*/}
            sed -n 's/^# Task Badger: .* as for \(.*\)[.] .*/\1/p' "$file" >"$work/timer"
            awk "$LINES"'{ found = selected($0) } END { exit !found }' "$work/timer" || continue
            rm -f "$file"
            rmdir "${file%/*}" 2>/dev/null
            say "$owner: as it was"
            written=$((written + 1))
            reload=1
        done
        [ -z "${reload-}" ] || ! has systemctl || systemctl daemon-reload </dev/null
    fi
    [ -z "$failed" ] || exit 1
    [ "$written" != 0 ] || say "Nothing to take out."
    if is_used; then return; fi
    [ -d "$dir" ] || return 0
    rm -rf "$dir/run" "$dir/key" "$dir/keys" "$dir/sent"
    if is_as_before; then
        rm -rf "$dir/backup"
    else
        say "The crontabs have been changed since they were wrapped: the copies stay in $dir/backup."
    fi
    rmdir "$dir" 2>/dev/null
    say "The monitors stay on the server: pause or delete them there."
}

# Whether a line or a service that was not selected still needs the helper.
is_used() {
    collect >/dev/null
    : >"$work/taken"
    each_source note_slugs
    [ -s "$work/taken" ] && return 0
    is_root || return 1
    for file in "$etc"/systemd/system/*.service.d/taskbadger.conf; do
        [ -f "$file" ] && return 0
    done
    return 1
}

# Whether each crontab is what its oldest copy says.
is_as_before() {
    for file in "$dir"/backup/*; do
        [ -f "$file" ] || continue
        whole=${file##*/}
        whole=${whole%.*}
        [ "$whole" != "${checked-}" ] || continue
        checked=$whole
        number=1
        while [ "$number" -le "$count" ]; do
            use "$number"
            if [ "$(flat_name)" = "$whole" ]; then
                cmp -s "$file" "$work/$number.old" || return 1
            fi
            number=$((number + 1))
        done
    done
    return 0
}

main() {
    LC_ALL=C
    export LC_ALL
    read_options "$@"
    find_settings
    has awk || fail "awk is needed."
    work=$(umask 077 && mktemp -d "${TMPDIR:-/tmp}/taskbadger.XXXXXX") || fail "there is no room for temporary files."
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' HUP INT TERM
    collect
    : >"$work/taken"
    each_source note_slugs
    if [ -n "$undo" ]; then undo_all; else plan_or_apply; fi
}

main "$@" </dev/null
