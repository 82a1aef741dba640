#!/usr/bin/env bash
# Makes .venv from the lock, or does nothing if the stamp named by the argument says that it is current.
# pip's own configuration on this machine says where packages come from.
set -euo pipefail
stamp=$1

# Two makes that start together install once; without flock (not on every system) they may not.
exec 9>.venv.lock
! command -v flock >/dev/null || flock 9
[ ! -e "$stamp" ] || exit 0

# The system's own Python before any other: distributions build it optimised, version managers mostly do not, and
# a call costs up to a fifth less with it (docs/performance.md). PYTHON=... takes another.
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
makes_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null || [ "$(id -u)" -eq 0 ]; }
system=/usr/bin/python3
if [ -z "${PYTHON:-}" ]; then
    if new_enough $system && makes_venv $system; then PYTHON=$system; else PYTHON=python3; fi
fi
export PYTHON
"$(dirname "$0")/need.sh" "$PYTHON=python3" venv=python3-venv
if ! new_enough "$PYTHON"; then
    echo "Python 3.11 or newer is needed, and $PYTHON is $("$PYTHON" --version); PYTHON=... takes another." >&2
    exit 1
fi
echo "Setting up .venv from requirements/dev.txt (a minute or so)"
"$PYTHON" -m venv --clear .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
    --requirement requirements/dev.txt
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
    --no-index --editable .
touch "$stamp"
