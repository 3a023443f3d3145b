#!/bin/sh
# Renew the lock files after a change of setup.cfg or pyproject.toml: needs uv, and the package index.
# Usage: tools/lock.sh [OPTIONS OF uv pip compile], as in: tools/lock.sh --upgrade
# Without options, what is locked stays as it is unless it no longer fits.
set -eu
cd "$(dirname "$0")/.."

compile() {
    uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url "$@"
}

# What is tested, as constraints: the same file serves every choice of extras.
compile setup.cfg --extra test --extra check --output-file requirements.lock "$@"
# What the tests need, in the same releases, with what their packages want of others (coverage[toml]).
compile setup.cfg --extra test --constraint requirements.lock \
    --no-strip-extras --generate-hashes --output-file requirements-test.lock "$@"
# What runs, in the same releases. All files of a release are listed, for any machine.
compile setup.cfg --extra celery --extra oidc --extra apprise --extra metrics --extra otel --extra sentry \
    --constraint requirements.lock \
    --generate-hashes --output-file requirements-server.lock "$@"
# What builds the package.
sed -n 's/^requires = \["\(.*\)"\]$/\1/p' pyproject.toml |
    compile - --generate-hashes --output-file requirements-build.lock "$@"
