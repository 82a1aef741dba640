#!/usr/bin/env bash
# Fetches what measuring needs beside .venv, into build/bench; each argument is one of
#   tools       profiler, benchmark runner and plotting: a directory for PYTHONPATH
#   faststream  an environment of its own for the FastStream workers
#   camel       jars by Maven, and the Camel worker compiled
# A part that is current is left alone. pip's and Maven's own configuration say where packages come from.
set -euo pipefail
home=build/bench
mkdir -p "$home"
pip=(-m pip install --quiet --disable-pip-version-check)

for part in "$@"; do
    case $part in
        tools) sources=(bench/requirements.txt) ;;
        faststream) sources=(bench/workers/requirements.txt .venv/pyvenv.cfg) ;;
        camel) sources=(bench/camel/pom.xml bench/camel/Worker.java) ;;
        *) echo "bench.sh knows tools, faststream and camel, not $part" >&2; exit 2 ;;
    esac
    stamp=$home/$part/.made-from-$(cat "${sources[@]}" | sha256sum | cut -c1-16)
    [ ! -e "$stamp" ] || continue
    echo "Fetching $part for the bench"
    rm -rf "${home:?}/$part"
    case $part in
        tools) .venv/bin/python "${pip[@]}" --target "$home/tools" --requirement "${sources[0]}" ;;
        faststream)
            .venv/bin/python -m venv "$home/faststream"
            "$home/faststream/bin/python" "${pip[@]}" --requirement "${sources[0]}"
            ;;
        camel)
            scripts/need.sh javac=openjdk-17-jdk-headless mvn=maven
            mvn -B -q -f bench/camel/pom.xml dependency:copy-dependencies \
                "-DoutputDirectory=$PWD/$home/camel" -DincludeScope=runtime
            javac -nowarn -Xlint:none -cp "$home/camel/*" -d "$home/camel" bench/camel/Worker.java
            ;;
    esac
    touch "$stamp"
done
