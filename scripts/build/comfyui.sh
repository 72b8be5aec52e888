# shellcheck shell=bash
# Where ComfyUI and its wheels come from. Sourced by scripts/build.sh, never run.
# shellcheck disable=SC2154,SC2034  # fresh is set there, and what is set here is for there.

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
            say "ComfyUI's upstream cannot be reached ($COMFYUI_UPSTREAM): using the stand-in instead, behind the same shields"
        fi
        ;;
    stand-in) ;;
    *)
        COMFYUI=$from
        [[ -f $COMFYUI/main.py && -f $COMFYUI/requirements.txt ]] || die "$COMFYUI is not a ComfyUI checkout: main.py or requirements.txt is missing"
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
        sha256sum <"$NODES"
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
