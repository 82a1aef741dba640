#!/usr/bin/env bash
# Writes build/sbom/environment.json: what is installed where requirements/runtime.txt is, and nothing else.
# The bill's own tool (requirements/sbom.txt) has an environment beside it. Both are kept while the locks stay.
set -euo pipefail
home=build/sbom
mkdir -p "$home"

for part in tools:sbom shipped:runtime; do
    environment=$home/${part%%:*} lock=requirements/${part##*:}.txt
    stamp=$environment/.made-from-$(sha256sum <"$lock" | cut -c1-16)
    [ ! -e "$stamp" ] || continue
    python3 -m venv --clear --without-pip "$environment"
    .venv/bin/python -m pip --python "$environment/bin/python" install --quiet \
        --disable-pip-version-check --require-hashes --requirement "$lock"
    touch "$stamp"
done
"$home/tools/bin/cyclonedx-py" environment --pyproject pyproject.toml --spec-version 1.6 \
    --output-reproducible --output-file "$home/environment.json" "$home/shipped/bin/python" 2>/dev/null
