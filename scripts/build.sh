#!/usr/bin/env bash
# Builds the binary `init` and the demonstration image takumi-demo.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
    cat <<'EOF'
scripts/build.sh            build the binary and the image takumi-demo
scripts/build.sh --fresh    make the base image anew first (newer Debian packages)

environment:
  BASE_IMAGE          build on this image (it needs python3 and a shell); default: one made here of Debian's packages
  CONTAINER_ENGINE    docker or podman, with options if need be; default: docker where it is installed
EOF
}

# The packages come from where this machine's own apt gets them, with its proxy and its trust; nothing of that stays
# in the image. The hash of this function names the recipe, so that a changed one is built anew.
make_base() {
    local tag=$1 recipe=$2 sources
    need mmdebstrap:mmdebstrap
    sources=$(debian_sources)
    if [[ -z $sources && $(id -u) == 0 ]]; then
        apt_get update || warn "apt-get update failed"
        sources=$(debian_sources)
    fi
    [[ -n $sources ]] || die "apt knows no $ORIGIN package lists: run 'sudo apt-get update', or give BASE_IMAGE"
    apt-config dump | grep -E '^Acquire::(https?::Proxy|Check-)' >"$WORK/apt.conf" || true
    # The hooks' $1 is mmdebstrap's word for the new root.
    # shellcheck disable=SC2016
    mmdebstrap --quiet --variant=essential --include=python3 --aptopt="$WORK/apt.conf" \
        --customize-hook='rm -rf "$1"/usr/share/man "$1"/usr/share/locale "$1"/var/cache/debconf' \
        --customize-hook='find "$1"/usr/share/doc ! -type d ! -name copyright -delete' \
        --customize-hook='find "$1"/var/log -type f -delete' \
        --customize-hook='find "$1" -xdev -type f -perm /6000 -exec chmod a-s {} +' \
        "$VERSION_CODENAME" "$WORK/base.tar" - <<<"$sources"
    # mmdebstrap itself wants these until its end.
    tar --delete -f "$WORK/base.tar" ./etc/apt ./etc/hostname ./etc/resolv.conf ./var/lib/apt ./var/cache/apt
    engine import --change "LABEL recipe=$recipe" "$WORK/base.tar" "$tag" >/dev/null
}

debian_sources() {
    # The format's words are apt's own variables.
    # shellcheck disable=SC2016
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' "Origin: $ORIGIN" |
        sort -u
}

# Sets BASE to an image that has python3: the caller's, the cached one, or a new one.
choose_base() {
    local fresh=$1 recipe ID=
    if [[ -n ${BASE_IMAGE:-} ]]; then
        BASE=$BASE_IMAGE
        return
    fi
    # shellcheck source=/dev/null
    [[ -r /etc/os-release ]] && source /etc/os-release
    case $ID in
    debian) ORIGIN=Debian ;;
    ubuntu) ORIGIN=Ubuntu ;;
    *) die "a base image is made here only on Debian and Ubuntu: name one, e.g. BASE_IMAGE=python:3-slim" ;;
    esac
    BASE=takumi-base:$VERSION_CODENAME
    recipe=$(declare -f make_base | sha256sum | cut -c 1-16)
    if ! $fresh && [[ $(engine image inspect --format '{{.Config.Labels.recipe}}' "$BASE" 2>/dev/null) == "$recipe" ]]; then
        return
    fi
    say "making $BASE of $ORIGIN's packages (once; later builds use it again)"
    make_base "$BASE" "$recipe"
}

build_image() {
    local stage=$WORK/stage log=$WORK/build.log before
    mkdir "$stage" "$stage/standin"
    install -m 0711 "$INIT" "$stage/init"
    install -m 0644 "$ROOT"/image/standin/*.py "$stage/standin"
    install -m 0644 "$ROOT/image/Dockerfile" "$stage"
    # A docker client without buildx cannot use BuildKit; the older builder does here, and any engine has one of them.
    if ! engine buildx version >/dev/null 2>&1; then export DOCKER_BUILDKIT=0; fi
    before=$(image_id)
    if ! engine build --build-arg "BASE=$BASE" --tag "$DEMO_IMAGE_NAME" "$stage" >"$log" 2>&1; then
        cat "$log" >&2
        die "the image could not be built"
    fi
    # The image of the build before has lost its name by now and would only lie about.
    if [[ $before != "$(image_id)" ]]; then engine image rm "$before" >/dev/null 2>&1 || true; fi
}

image_id() { engine image inspect --format '{{.Id}}' "$DEMO_IMAGE_NAME" 2>/dev/null || true; }

fresh=false
case ${1:-} in
'') ;;
--fresh) fresh=true ;;
-h | --help)
    usage
    exit
    ;;
*)
    usage >&2
    exit 2
    ;;
esac

require_engine
build_init
say "init: $(stat -c %s "$INIT") bytes, static-pie ($INIT)"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
# mmdebstrap, when it is not root, maps other users into this directory.
chmod 0755 "$WORK"
choose_base "$fresh"
build_image
say "image: $DEMO_IMAGE_NAME (on $BASE)"
