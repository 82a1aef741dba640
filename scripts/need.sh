#!/usr/bin/env bash
# Makes sure that commands are there. Each argument is COMMAND=DEBIAN-PACKAGE, in one word.
# Where a command is missing, root on Debian gets the package, anybody else one line that names it.
set -euo pipefail

present() {
    case $1 in
        venv) "${PYTHON:-python3}" -c 'import ensurepip, venv' 2>/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

packages=()
for pair in "$@"; do
    present "${pair%%=*}" || packages+=("${pair#*=}")
done
[ ${#packages[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "Please install first (names of Debian's packages): ${packages[*]}" >&2
    exit 1
fi
echo "Installing ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
{ apt-get -qq update && apt-get -qq install --no-install-recommends -y "${packages[@]}"; } >/dev/null
