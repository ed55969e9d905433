#!/usr/bin/env bash
# Build the Dockerfile with buildah, without a container engine: docker/build-image.sh TAG
# BASE names the base image; without it debootstrap makes one that stands in for the official Python image, so that
# nothing but Debian's packages and a package index is needed. Unpacks the result into build/image/root.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${1:-agelens:test}
work=$PWD/build/image
mkdir -p "$work"

missing=()
for tool in buildah debootstrap promtool; do
    command -v "$tool" >/dev/null || missing+=("${tool/promtool/prometheus}")
done
if ((${#missing[@]})); then
    echo "building the image here needs ${missing[*]}: apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
if ((EUID != 0)); then
    echo "building with --isolation chroot needs root" >&2
    exit 1
fi

if [[ -z ${BASE:-} ]]; then
    BASE=localhost/agelens-base:bookworm
    if [[ -z $(buildah images --quiet "$BASE" 2>/dev/null) ]]; then
        if [[ ! -d $work/base ]]; then
            rm -rf "$work/base.part"
            debootstrap --variant=minbase --include=python3-venv,ca-certificates bookworm "$work/base.part" >"$work/base.log" ||
                { tail "$work/base.log" >&2; exit 1; }
            # The official slim image has none of these either.
            (cd "$work/base.part" && rm -rf var/lib/apt/lists/* var/cache/apt/* usr/share/{doc,info,locale,man}/*)
            mv "$work/base.part" "$work/base"
        fi
        container=$(buildah from scratch)
        buildah copy --quiet "$container" "$work/base" / >/dev/null
        if [[ -n ${SSL_CERT_FILE:-} ]]; then # a network with a certificate authority of its own
            certificates=/etc/ssl/certs/ca-certificates.crt
            buildah copy --quiet "$container" "$SSL_CERT_FILE" "$certificates" >/dev/null
            buildah config --env "SSL_CERT_FILE=$certificates" "$container"
        fi
        buildah commit --quiet --format docker --rm "$container" "$BASE" >/dev/null
    fi
fi

# Only this format keeps HEALTHCHECK.
buildah build --isolation chroot --format docker --layers \
    --build-arg "BASE=$BASE" --build-arg "REVISION=$(git rev-parse HEAD)" --tag "$tag" .
buildah inspect --type image "$tag" >"$work/inspect.json"

container=$(buildah from --pull-never "$tag")
trap 'buildah rm "$container" >/dev/null' EXIT
rm -rf "$work/root"
mkdir "$work/root"
cp --archive "$(buildah mount "$container")/." "$work/root/"
cp "$work/root/opt/agelens/sbom.cdx.json" "$work/sbom.cdx.json"
