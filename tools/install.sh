#!/bin/sh
# Make the virtual environment .venv where it is missing, and install this project into it.
# Usage: tools/install.sh [EXTRAS], as in: tools/install.sh test,check
# PYTHON names the interpreter to use; otherwise the first one that is 3.11 or later.
set -eu
cd "$(dirname "$0")/.."
extras=${1:-}

say() { printf '%s\n' "$*" >&2; }

is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

can_make_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

find_python() {
    recent=
    for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        is_recent "$name" || continue
        recent=${recent:-$name}
        if can_make_venv "$name"; then
            printf '%s\n' "$name"
            return
        fi
    done
    printf '%s\n' "$recent"
}

make_venv() {
    python=$(find_python)
    if [ -z "$python" ]; then
        say "Task Badger needs Python 3.11 or later, and ${PYTHON:-python3} is not one."
        say "Install it (Debian: apt-get install python3 python3-venv; macOS: brew install python),"
        say "or name it: make PYTHON=/path/to/python3.11 …"
        exit 1
    fi
    if ! can_make_venv "$python" && command -v uv >/dev/null; then
        uv venv --quiet --seed --python "$python" .venv
        return
    fi
    if ! can_make_venv "$python" && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "Installing python3-venv, which Debian keeps in a package of its own…"
        apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
    fi
    if ! can_make_venv "$python"; then
        say "$python cannot make virtual environments: its venv module is not installed."
        say "On Debian and Ubuntu: sudo apt-get install python3-venv"
        exit 1
    fi
    "$python" -m venv .venv
}

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    say "Making the virtual environment .venv…"
    rm -rf .venv
    make_venv
fi

say "Installing${extras:+ with the extras $extras}…"
.venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --constraint requirements.lock --editable ".${extras:+[$extras]}"
