#!/usr/bin/env bash
# Makes .venv from the lock, or does nothing if the stamp named by the argument says that it is current.
# pip's own configuration on this machine says where packages come from.
set -euo pipefail
stamp=$1

# Two makes that start together install once; without flock (not on every system) they may not.
exec 9>.venv.lock
! command -v flock >/dev/null || flock 9
[ ! -e "$stamp" ] || exit 0

"$(dirname "$0")/need.sh" python3=python3 venv=python3-venv
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Python 3.11 or newer is needed as python3, and this is $(python3 --version)." >&2
    exit 1
fi
echo "Setting up .venv from requirements/dev.txt (a minute or so)"
python3 -m venv --clear .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
    --requirement requirements/dev.txt
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
    --no-index --editable .
touch "$stamp"
