#!/usr/bin/env bash
# Builds the binary `init` and the images around it.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/build/base.sh
source "$ROOT/scripts/build/base.sh"
# shellcheck source=scripts/build/comfyui.sh
source "$ROOT/scripts/build/comfyui.sh"

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
  INIT                take this binary instead of building one; takumi-nodes lies beside it
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

# build_image TAG DIRECTORY OPTION...: its log is shown only where it fails. A label says of which binaries it is.
build_image() {
    local tag=$1 directory=$2 before label=()
    shift 2
    before=$(image_id "$tag")
    if [[ -n ${INIT:-} ]]; then label=(--label "takumi.init=$(cat "$INIT" "$NODES" | sha256sum | cut -d ' ' -f 1)"); fi
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
    install -m 0711 "$NODES" "$root/takumi-nodes"
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
        find_nodes
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
