#!/bin/sh
# Create the virtual environment .venv if it is missing, and install this project into it.
# Usage: tools/install.sh [EXTRAS], as in: tools/install.sh test,check
# PYTHON names the interpreter; the default is the first one found that is 3.11 or later.
# HASHES=no installs what the tests need without comparing hashes, for an index with files of its own.
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

apt_install() {
    say "Installing $1, a separate package on Debian…"
    { apt-get update -qq && apt-get install -y -qq "$1"; } >/dev/null 2>&1 || true
}

make_venv() {
    python=$(find_python)
    if [ -z "$python" ]; then
        say "Python 3.11 or later is needed, but ${PYTHON:-python3} is older or missing:" \
            "install it (Debian: apt-get install python3 python3-venv; macOS: brew install python)" \
            "or name another one: make PYTHON=/path/to/python3"
        exit 1
    fi
    if ! can_make_venv "$python" && command -v uv >/dev/null; then
        uv venv --quiet --seed --python "$python" .venv
        return
    fi
    package=${python##*/}-venv
    if ! can_make_venv "$python" && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt_install "$package"
    fi
    if ! can_make_venv "$python"; then
        say "$python cannot create virtual environments, a separate package on Debian and Ubuntu:" \
            "sudo apt-get install $package"
        exit 1
    fi
    "$python" -m venv .venv
}

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    say "Creating the virtual environment .venv…"
    rm -rf .venv
    make_venv
fi

install() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@" && return
    say "The packages could not be installed. pip says why above; it must reach its package index.$advice"
    exit 1
}

say "Installing${extras:+ with the extras $extras}…"
advice=
case "${HASHES:-yes},$extras," in
no,*) ;;
*,test,*)
    advice=" If the index has files of its own, whose hashes are others, HASHES=no installs the same releases."
    install --require-hashes --requirement requirements-test.lock
    advice=
    ;;
esac
install --constraint requirements.lock --editable ".${extras:+[$extras]}"
