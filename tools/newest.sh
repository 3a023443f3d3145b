#!/bin/bash
# Install the newest releases that setup.cfg allows into .cache/newest, and try the main things with them:
# API and pages on both databases, sign-in by OpenID Connect, channels, `serve`, and Celery.
# Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
home=.cache/newest
tests=(
    tests/blueprints/test_events.py
    tests/blueprints/dashboard/account/test_sign_on.py::test_user_with_the_verified_address_is_signed_in
    tests/channels/test_apprise.py
    tests/channels/test_email.py
    tests/channels/test_webhook.py
    tests/test_image.py
    "tests/worker/test_celery_programs.py::test_a_worker_answers_pings_with_its_name_and_says_little_else[redis]"
)
# What these tests need, in the ranges of setup.cfg.
tools=(aiosmtpd psutil pytest pytest-timeout time-machine)

mkdir -p .cache
rm -rf "$home"
pip() { .venv/bin/python -m pip --python "$home/bin/python" --disable-pip-version-check "$@"; }
.venv/bin/python -m venv --without-pip "$home"
ranges=$(mktemp)
trap 'rm -f "$ranges"' EXIT
"$home/bin/python" - "${tools[@]}" >"$ranges" <<'END'
import re
import sys
from configparser import RawConfigParser

config = RawConfigParser()
config.read("setup.cfg")
lines = config["options.extras_require"]["test"].split()
names = {re.split("[<>=]", line)[0]: line for line in lines}
print(*(names[name] for name in sys.argv[1:]), sep="\n")
END
pip install --quiet --requirement "$ranges" --editable '.[celery,oidc,apprise]'

echo "newer than what is locked:"
pip list --format=freeze --exclude-editable | tr '[:upper:]' '[:lower:]' | tr _ - | sort |
    comm -23 - <(sed 's/ ;.*//' requirements.lock | sort)
"$home/bin/python" -m pytest -q -p no:cacheprovider "${tests[@]}" "$@"
