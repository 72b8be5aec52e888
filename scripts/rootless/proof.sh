# shellcheck shell=bash
# The proof: not what was configured, but what a container sees. Sourced, never run.

prove() {
    local image=$PROOF_IMAGE
    say ""
    say "== proof"
    engine_is_rootless || die "no rootless engine answers at $(socket): scripts/setup_rootless.sh install"
    if [[ -z $image ]]; then
        image=takumi-rootless-proof:$$
        # Whatever ends the proof, the image of its own goes.
        # shellcheck disable=SC2064
        trap "rootless_docker image rm --force $image >/dev/null 2>&1 || true" EXIT
        make_proof_image "$image"
    fi
    prove_user "$image"
    prove_limit "$image"
    if [[ -n $(gpu) ]]; then prove_gpu "$image"; fi
}

inside() { rootless_docker run --rm --network none "$@"; }

# This machine's own cat and ls with the libraries they ask for: that needs no registry and no network, and NVIDIA's libraries find a
# C library of the right age there.
make_proof_image() (
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    chmod 755 "$folder"
    mkdir "$folder/bin" "$folder/etc" "$folder/tmp"
    for program in cat ls; do cp -L "$(type -P "$program")" "$folder/bin/$program"; done
    libraries=$(ldd "$folder/bin/cat" "$folder/bin/ls" | grep -oE '/[^ ]+\.so[^ ]*' | sort -u)
    c_library=$(dirname "$(grep -m1 'libc\.so' <<<"$libraries")")
    # nvidia-smi asks for the four, and NVIDIA brings none of them.
    for library in $libraries "$c_library"/{libpthread.so.0,libm.so.6,libdl.so.2,librt.so.1}; do
        mkdir -p "$folder$(dirname "$library")"
        if [[ -e $library ]]; then cp -L "$library" "$folder$library"; fi
    done
    tar -C "$folder" -c . | rootless_docker import - "$1" >/dev/null || die "cannot import the proof's image"
)

# In a rootful engine the map is `0 0 4294967295`.
prove_user() {
    local map first further
    map=$(inside "$1" cat /proc/self/uid_map) || die "the proof's container did not run"
    first=$(awk 'NR == 1 { print $1, $2, $3 }' <<<"$map")
    further=$(awk 'NR > 1 { total += $3 } END { print total + 0 }' <<<"$map")
    [[ $first == "0 $(id -u) 1" ]] || die "NOT rootless: container root is not you; its uid_map is $(tr -s ' \n' ' ' <<<"$map")"
    ((further >= 65536)) || die "a container has only $further more ids, but an image may need 65536"
    say "container root is $(id -un) ($(id -u)) on this machine; its $further other ids belong to no user"
}

prove_limit() {
    local limit
    limit=$(inside --memory 64m "$1" cat /sys/fs/cgroup/memory.max 2>/dev/null) || true
    if [[ $limit == 67108864 ]]; then
        say "a container's memory limit works"
    else
        warn "limits (--memory, --pids-limit) have no effect: 'scripts/setup_rootless.sh check' says why"
    fi
}

prove_gpu() {
    local options nodes answer
    if [[ $(gpu_mode) == cdi ]]; then options=(--device nvidia.com/gpu=all); else options=(--gpus all); fi
    nodes=$(inside "${options[@]}" "$1" ls /dev) || die "a container with ${options[*]} did not start"
    grep -qxE 'nvidiactl|dxg' <<<"$nodes" || die "the GPU is not visible in a container: /dev has $(tr '\n' ' ' <<<"$nodes")"
    say "a container sees the GPU's device: docker run ${options[*]}"
    if answer=$(inside "${options[@]}" "$1" nvidia-smi -L 2>&1); then
        say "and its driver answers: $answer"
    else
        warn "nvidia-smi did not answer in this small image ($(tail -n 1 <<<"$answer")): try it in an image with CUDA"
    fi
}
