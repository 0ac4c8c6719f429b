#!/usr/bin/env bash
# Builds the container image of a learner's environment: build.sh BUNDLE.tar.gz [IMAGE]
#   BUNDLE  made by `mod209 bundle LAB`; the one without a learner serves a whole class
#   IMAGE   name of the image; default mod209-<lab>:<version of the lab>
#   BASE    (variable) the base image; default: made of Debian packages by base.sh, if it is not there yet
#   PYTHON  (variable) a Python with pip, which downloads the packages; default python3
# Servers are taken from the cache of `mod209 tools --fetch`; what is not there, the container fetches when it first starts.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$(realpath --no-symlinks "$(command -v "${PYTHON:-python3}")")  # it is used from another folder
base=${BASE:-mod209-base:$(sha256sum "$here/base.sh" | head -c 12)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -f "${1:-}" ] || { echo "Name a bundle: build.sh BUNDLE.tar.gz [IMAGE]" >&2; exit 2; }
mkdir -p "$work"/{bundle,wheels,tools}
tar -xzf "$1" -C "$work/bundle" --strip-components 1 --no-same-owner
(cd "$work/bundle" && sha256sum --check --quiet SHA256SUMS)
read -r lab version < <("$python" -c 'import json, sys; b = json.load(open(sys.argv[1])); print(b["lab"], b["lab_version"])' "$work/bundle/bundle.json")
image=${2:-mod209-$lab:$version}

[ -n "${BASE:-}" ] || docker image inspect "$base" >/dev/null 2>&1 || "$here/base.sh" "$base" >/dev/null
wanted=$(docker run --rm --network none --entrypoint python3 "$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
(cd "$work/bundle" && "$python" -m pip download --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
  --python-version "$wanted" --implementation cp --dest "$work/wheels" -r requirements.txt)
tools=${MOD209_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mod209}/tools
[ ! -d "$tools" ] || cp -r --preserve=timestamps "$tools/." "$work/tools/"
chmod -R a+rX "$work/tools" "$work/bundle"
cp "$here/Dockerfile" "$here/start.sh" "$work/"
chmod 0755 "$work/start.sh"
docker build --quiet --network none --build-arg "BASE=$base" --build-arg "LAB=$lab" --tag "$image" "$work" >/dev/null
echo "$image"
