# shellcheck shell=bash
# Base images of Debian's packages. Sourced by scripts/build.sh, never run.
# shellcheck disable=SC2154  # fresh is set there.

# make_base TAG RECIPE PACKAGES: a base image of Debian's packages. They come from where this machine's own apt gets them, with
# its proxy and its trust; nothing of that stays in the image. The hash of this function names the recipe, so that a changed one
# is built anew.
make_base() {
    local tag=$1 recipe=$2 packages=$3 sources tar=$WORK/base.tar
    need mmdebstrap:mmdebstrap
    sources=$(debian_sources)
    if [[ -z $sources && $(id -u) == 0 ]]; then
        apt_get update || warn "apt-get update failed"
        sources=$(debian_sources)
    fi
    [[ -n $sources ]] || die "apt has no $ORIGIN package lists: run 'sudo apt-get update', or set BASE_IMAGE"
    apt-config dump | grep -E '^Acquire::(https?::Proxy|Check-)' >"$WORK/apt.conf" || true
    # usr-is-merged saves the perl that usrmerge brings. The hooks' $1 is mmdebstrap's word for the new root; its own cleanup wants
    # apt's folders, and `tar --delete` afterwards breaks some archives.
    # shellcheck disable=SC2016
    mmdebstrap --quiet --variant=essential --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
        --include="usr-is-merged,$packages" --aptopt="$WORK/apt.conf" --skip=cleanup \
        --customize-hook='rm -rf "$1"/usr/share/man "$1"/usr/share/locale "$1"/var/cache/debconf' \
        --customize-hook='find "$1"/usr/share/doc ! -type d ! -name copyright -delete' \
        --customize-hook='find "$1"/var/log -type f -delete' \
        --customize-hook='find "$1" -xdev -type f -perm /6000 -exec chmod a-s {} +' \
        --customize-hook='cd "$1" && rm -rf etc/apt etc/hostname etc/resolv.conf var/lib/apt var/cache/apt var/lib/dpkg/*-old' \
        --customize-hook='find "$1"/tmp "$1"/run -mindepth 1 -delete' \
        "$VERSION_CODENAME" "$tar" - <<<"$sources" 2>"$WORK/base.log" || { cat "$WORK/base.log" >&2; die "cannot build $tag"; }
    engine import --change "LABEL recipe=$recipe" "$tar" "$tag" >/dev/null
    rm -f "$tar"
}

debian_sources() {
    # The format's words are apt's own variables.
    # shellcheck disable=SC2016
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' "Origin: $ORIGIN" |
        sort -u | sed "s/ $MACHINE_CODENAME/ $VERSION_CODENAME/"
}

# Elsewhere than on Debian and Ubuntu: the same packages on Debian's image from a registry.
pull_base() {
    local tag=$1 recipe=$2 packages=$3
    mkdir -p "$WORK/pulled"
    cat >"$WORK/pulled/Dockerfile" <<END
FROM debian:${suite:-bookworm}-slim
RUN apt-get update && apt-get install -y --no-install-recommends ${packages//,/ } && rm -rf /var/lib/apt/lists/*
LABEL recipe=$recipe
END
    build_image "$tag" "$WORK/pulled" --pull
}

# choose_base TAG PACKAGES [SUITE]: makes the base image, unless it is there and of the same recipe; of Debian's SUITE, or of this
# machine's own release.
choose_base() {
    local tag=$1 packages=$2 suite=${3:-} make=make_base recipe ID=
    # shellcheck source=/dev/null
    [[ -r /etc/os-release ]] && source /etc/os-release
    case $ID in
    debian) ORIGIN=Debian ;;
    ubuntu) ORIGIN=Ubuntu ;;
    *) make=pull_base ;;
    esac
    if [[ -n $suite && $ID != debian ]]; then make=pull_base ORIGIN=Debian; fi
    MACHINE_CODENAME=${VERSION_CODENAME:-}
    VERSION_CODENAME=${suite:-$MACHINE_CODENAME}
    recipe=$({ declare -f "$make"; echo "$packages ${VERSION_CODENAME:-}"; } | sha256sum | cut -c 1-16)
    if ! $fresh && [[ $(engine image inspect --format '{{.Config.Labels.recipe}}' "$tag" 2>/dev/null) == "$recipe" ]]; then
        return
    fi
    say "making $tag of ${ORIGIN:-Debian}'s packages (once, half a minute or more; later builds use it again)"
    "$make" "$tag" "$recipe" "$packages"
}

choose_stand_in_base() {
    BASE=${BASE_IMAGE:-takumi-base:latest}
    [[ -n ${BASE_IMAGE:-} ]] || choose_base "$BASE" "$STAND_IN_PACKAGES"
}
