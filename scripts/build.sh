#!/usr/bin/env bash
# Builds the binary `init` and the images around it.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
    cat <<'END'
scripts/build.sh                  build the binary and every image: takumi-comfyui, takumi-egress, takumi-gateway, takumi-demo
scripts/build.sh WHAT...          build only these: comfyui, gateway (that is egress too), demo
scripts/build.sh torch            for the tests: an image of Debian 13's PyTorch and a compiler, and no more (takumi-torch, 1.4 GB)
scripts/build.sh --comfyui DIR    with ComfyUI from this directory instead of its upstream
scripts/build.sh --stand-in       with the stand-in for ComfyUI, without asking the upstream
scripts/build.sh --fresh          build everything anew, the base images first (newer Debian packages)
scripts/build.sh --bases          only the base images, which need no binary

environment:
  VARIANT             cpu or gpu (cpu)
  IMAGE_PREFIX        name the images PREFIX-comfyui and so on (takumi)
  COMFYUI_COMMIT      ComfyUI's commit, 40 digits (the one that this was tested with)
  COMFYUI_UPSTREAM    where it comes from
  WHEELS              directory with the wheels of ComfyUI's requirements and Bandit's; default: pip downloads them
  PIP_EXTRA           further words for `pip download`, e.g. '--index-url URL' of PyTorch's wheels for the CPU
  BASE_IMAGE          build ComfyUI's image on this one (it needs python3 with venv, and a shell)
  GATEWAY_BASE_IMAGE  build egress and gateway on this one (it needs tinyproxy, nftables, haproxy, publicsuffix)
  INIT                take this binary instead of building one
  CONTAINER_ENGINE    docker or podman, with options if need be; default: docker where it is installed
END
}

# The release that the tests ran once with a real ComfyUI (0.3.64).
COMFYUI_COMMIT=${COMFYUI_COMMIT:-a125cd84b054a57729b5eecab930ca9408719832}
COMFYUI_UPSTREAM=${COMFYUI_UPSTREAM:-https://github.com/comfyanonymous/ComfyUI}
VARIANT=${VARIANT:-cpu}
IMAGE_PREFIX=${IMAGE_PREFIX:-takumi}

# Nodes fetch with git; OpenCV and others want the last two.
COMFYUI_PACKAGES=python3,ca-certificates,git,libgl1,libglib2.0-0
# The stand-in needs Python alone; what tests run in its place asks git, and libraries of pip want the last one.
STAND_IN_PACKAGES=python3,ca-certificates,git,libstdc++6
# PyTorch, and what torch.compile and Triton compile with.
TORCH_PACKAGES=python3,python3-torch,python3-setuptools,libtorch-dev,g++
GATEWAY_PACKAGES=tinyproxy-bin,nftables,haproxy,publicsuffix

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
    [[ -n $sources ]] || die "apt knows no $ORIGIN package lists: run 'sudo apt-get update', or give BASE_IMAGE"
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
        "$VERSION_CODENAME" "$tar" - <<<"$sources" 2>"$WORK/base.log" || { cat "$WORK/base.log" >&2; die "$tag could not be made"; }
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

# build_image TAG DIRECTORY OPTION...: its log is shown only where it fails. A label says which binary is in it.
build_image() {
    local tag=$1 directory=$2 before label=()
    shift 2
    before=$(image_id "$tag")
    if [[ -n ${INIT:-} ]]; then label=(--label "takumi.init=$(sha256sum <"$INIT" | cut -d ' ' -f 1)"); fi
    if ! engine build "$@" "${label[@]}" --tag "$tag" "$directory" >"$WORK/build.log" 2>&1; then
        cat "$WORK/build.log" >&2
        die "the image $tag could not be built"
    fi
    # The image of the build before has lost its name by now and would only lie about.
    if [[ -n $before && $before != "$(image_id "$tag")" ]]; then engine image rm "$before" >/dev/null 2>&1 || true; fi
    say "image: $tag"
}

image_id() { engine image inspect --format '{{.Id}}' "$1" 2>/dev/null || true; }

# stage NAME: an empty directory to build in, with the binary. Modes are those of the image: the app's user may start /init and
# not read it.
stage() {
    STAGE=$WORK/$1
    mkdir "$STAGE"
    install -m 0711 "$INIT" "$STAGE/init"
}

# Sets COMFYUI to a directory with ComfyUI, or to nothing for the stand-in, COMFYUI_VERSION, COMFYUI_REVISION, and COMFYUI_CONTENT,
# which is another where a file is. Fails where the image of this commit is there already.
find_comfyui() {
    local from=$1
    COMFYUI='' COMFYUI_REVISION=unknown COMFYUI_VERSION=stand-in
    case $from in
    upstream)
        COMFYUI_CONTENT=$COMFYUI_COMMIT
        if is_built; then return 1; fi
        COMFYUI=$WORK/comfyui
        say "fetching ComfyUI at $COMFYUI_COMMIT"
        if fetch_comfyui; then
            COMFYUI_REVISION=$COMFYUI_COMMIT
        else
            COMFYUI=
            say "ComfyUI's upstream cannot be reached ($COMFYUI_UPSTREAM): the stand-in takes its place, behind the same shields"
        fi
        ;;
    stand-in) ;;
    *)
        COMFYUI=$from
        [[ -f $COMFYUI/main.py && -f $COMFYUI/requirements.txt ]] || die "$COMFYUI is no ComfyUI: main.py or requirements.txt is missing"
        COMFYUI_REVISION=$(git -C "$COMFYUI" rev-parse HEAD 2>/dev/null || echo unknown)
        ;;
    esac
    if [[ -n $COMFYUI ]]; then
        COMFYUI_VERSION=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$COMFYUI/comfyui_version.py" 2>/dev/null || true)
        if [[ $from != upstream ]]; then COMFYUI_CONTENT=$(comfyui_files -cf - | sha256sum); fi
    else
        COMFYUI_CONTENT=$(sha256sum "$ROOT/image/standin/comfyui_standin.py")
    fi
    ! is_built
}

comfyui_files() { tar -C "$COMFYUI" --sort=name --exclude=.git --exclude=__pycache__ "$@" .; }

# recipe: what makes ComfyUI's image what it is. The same recipe is not built again: pip would download gigabytes for it.
recipe() {
    {
        sha256sum <"$INIT"
        cat "$ROOT/image/Dockerfile" "$ROOT"/image/python/*.py "$ROOT"/image/requirements/*.txt "$ROOT"/image/bandit/*/*.{py,txt}
        image_id "$BASE"
        echo "$VARIANT $COMFYUI_CONTENT ${PIP_EXTRA:-} ${WHEELS:+$(cd "$WHEELS" && sha256sum ./*.whl)}"
    } | sha256sum | cut -c 1-16
}

is_built() {
    ! $fresh && [[ $(engine image inspect --format '{{index .Config.Labels "takumi.recipe"}}' "$IMAGE_PREFIX-comfyui" 2>/dev/null) == "$(recipe)" ]]
}

fetch_comfyui() {
    need git:git
    git init --quiet "$COMFYUI" &&
        GIT_TERMINAL_PROMPT=0 timeout 300 git -C "$COMFYUI" -c http.lowSpeedLimit=1000 -c http.lowSpeedTime=20 \
            fetch --quiet --depth 1 "$COMFYUI_UPSTREAM" "$COMFYUI_COMMIT" 2>/dev/null &&
        git -C "$COMFYUI" checkout --quiet FETCH_HEAD &&
        [[ $(git -C "$COMFYUI" rev-parse HEAD) == "$COMFYUI_COMMIT" ]]
}

# The wheels come from where this machine's own pip gets them, for the image's Python, whatever the machine's own is.
download_wheels() {
    local packages=$1 to=$1/wheels tags python minor
    if [[ -n ${WHEELS:-} ]]; then
        cp "$WHEELS"/*.whl "$to"
        return
    fi
    python=$(engine run --rm --network none --entrypoint python3 "$BASE" -c 'import sys; print("%d%d" % sys.version_info[:2])') ||
        die "$BASE has no python3"
    tags=(--implementation cp --python-version "$python" --abi "cp$python" --abi abi3 --abi none --platform any
        --platform manylinux1_x86_64 --platform manylinux2010_x86_64 --platform manylinux2014_x86_64)
    # pip does not take the tag of a newer glibc for the older ones, and NVIDIA's wheels have tags of their own. Debian 12 has 2.36.
    for minor in {5..36}; do tags+=(--platform "manylinux_2_${minor}_x86_64"); done
    read -ra extra <<<"${PIP_EXTRA:-}"
    find_pip
    local set
    for set in venv bandit; do
        "${PIP[@]}" download --quiet --disable-pip-version-check --only-binary=:all: "${tags[@]}" "${extra[@]}" --dest "$to" \
            --requirement "$packages/$set.txt" pip || die "pip could not download the wheels of $set.txt"
    done
}

# The names that pip itself knows, so that the project need not know them.
package_index_hosts() {
    find_pip
    "${PIP[0]}" -c 'from pip._internal.models.index import PyPI; print(PyPI.netloc, PyPI.file_storage_domain)' ||
        die "pip does not tell the names of the package index: install python3-pip"
}

build_comfyui() {
    if [[ $comfyui == stand-in ]]; then
        choose_stand_in_base
    else
        BASE=${BASE_IMAGE:-takumi-comfyui-base:latest}
        [[ -n ${BASE_IMAGE:-} ]] || choose_base "$BASE" "$COMFYUI_PACKAGES"
    fi
    if $bases; then return; fi
    if ! find_comfyui "$comfyui"; then
        say "image: $IMAGE_PREFIX-comfyui (nothing has changed)"
        return
    fi
    stage comfyui-image
    install -m 0644 "$ROOT/image/Dockerfile" "$STAGE"
    local packages=$STAGE/packages root=$STAGE/root
    mkdir -m 0755 "$packages" "$packages/wheels" "$root" "$root/app" "$root/opt"
    mv "$STAGE/init" "$root"
    install -m 0644 "$ROOT/image/python/launcher.py" "$root/opt"
    install -m 0644 "$ROOT/image/python/takumi_aiohttp.py" "$ROOT/image/requirements/bandit.txt" "$packages"
    cp -r "$ROOT/image/bandit" "$packages"
    rm -rf "$packages/bandit/takumi_rules/__pycache__"
    if [[ -n $COMFYUI ]]; then
        comfyui_files -cf - | tar -C "$root/app" -xf -
        cat "$COMFYUI/requirements.txt" "$ROOT/image/requirements/comfyui.txt" >"$packages/venv.txt"
    else
        install -m 0644 "$ROOT/image/standin/comfyui_standin.py" "$root/app/main.py"
        echo '# The stand-in needs nothing.' >"$packages/venv.txt"
    fi
    # Root's, and nobody else may change it: what runs in there is the app's user.
    chown -R 0:0 "$STAGE" 2>/dev/null || true
    chmod -R u=rwX,go=rX "$root/app" "$packages/bandit"
    say "downloading the wheels of $([[ -n $COMFYUI ]] && echo "ComfyUI and Bandit: gigabytes with PyTorch" || echo Bandit)"
    download_wheels "$packages"
    build_image "$IMAGE_PREFIX-comfyui" "$STAGE" --label "takumi.recipe=$(recipe)" --build-arg "BASE=$BASE" --build-arg "VARIANT=$VARIANT" \
        --build-arg "VERSION=$COMFYUI_VERSION" --build-arg "REVISION=$COMFYUI_REVISION" \
        --build-arg "NVIDIA_VISIBLE_DEVICES=$([[ $VARIANT == gpu ]] && echo all || echo void)"
}

# For the tests, which mount the rest: in a layer on top, each build would have the engine look at a gigabyte. Debian 12's PyTorch has no
# torch.compile.
build_torch() { choose_base takumi-torch:latest "$TORCH_PACKAGES" trixie; }

build_gateways() {
    local base=${GATEWAY_BASE_IMAGE:-takumi-gateway-base:latest} hosts target
    if [[ -z ${GATEWAY_BASE_IMAGE:-} ]]; then choose_base "$base" "$GATEWAY_PACKAGES"; fi
    if $bases; then return; fi
    hosts=$(package_index_hosts)
    stage gateway-images
    cp -r "$ROOT/image/gateway/." "$STAGE"
    for target in egress gateway; do
        build_image "$IMAGE_PREFIX-$target" "$STAGE" --target "$target" --build-arg "BASE=$base" --build-arg "PACKAGE_INDEX=$hosts"
    done
}

# The image of the tests: the stand-in alone under `init`, with no setting but its volume.
build_demo() {
    choose_stand_in_base
    if $bases; then return; fi
    stage demo-image
    mkdir "$STAGE/standin"
    install -m 0644 "$ROOT"/image/standin/*.py "$STAGE/standin"
    install -m 0644 "$ROOT/image/standin/Dockerfile" "$STAGE"
    build_image "$IMAGE_PREFIX-demo" "$STAGE" --build-arg "BASE=$BASE"
}

choose_stand_in_base() {
    BASE=${BASE_IMAGE:-takumi-base:latest}
    [[ -n ${BASE_IMAGE:-} ]] || choose_base "$BASE" "$STAND_IN_PACKAGES"
}

fresh=false bases=false
comfyui=upstream
wanted=()
while (($# > 0)); do
    case $1 in
    --fresh) fresh=true ;;
    --bases) bases=true ;;
    --stand-in) comfyui=stand-in ;;
    --comfyui)
        (($# > 1)) || { usage >&2; exit 2; }
        comfyui=$(cd "$2" && pwd) || die "no directory $2"
        shift
        ;;
    comfyui | gateway | demo | torch) wanted+=("$1") ;;
    -h | --help)
        usage
        exit
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    shift
done
[[ $VARIANT == cpu || $VARIANT == gpu ]] || die "VARIANT=$VARIANT: expected cpu or gpu"
[[ $COMFYUI_COMMIT =~ ^[0-9a-f]{40}$ ]] || die "COMFYUI_COMMIT=$COMFYUI_COMMIT: expected a commit, 40 digits: a tag can be moved"

require_engine
if ! $bases; then
    if [[ -n ${INIT:-} ]]; then
        [[ -x $INIT ]] || die "INIT=$INIT is no program"
        check_static_pie "$INIT"
    else
        build_init
    fi
    say "init: $(stat -c %s "$INIT") bytes, static-pie ($INIT)"
fi
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
# mmdebstrap, when it is not root, maps other users into this directory.
chmod 0755 "$WORK"
# A docker client without buildx cannot use BuildKit; the older builder does here, and any engine has one of them.
if ! engine buildx version >/dev/null 2>&1; then export DOCKER_BUILDKIT=0; fi
((${#wanted[@]} > 0)) || wanted=(demo comfyui gateway)
for what in "${wanted[@]}"; do
    case $what in
    demo) build_demo ;;
    comfyui) build_comfyui ;;
    gateway) build_gateways ;;
    torch) build_torch ;;
    esac
done
