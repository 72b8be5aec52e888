#!/usr/bin/env bash
# Installs what the tests need, builds the release binary and the images, runs the tests, and says which failed.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
    cat <<'EOF'
scripts/test.sh            what shows that everything works, in minutes: unit tests, PID 1, the drop, volumes, secrets, the probe, containers,
                           one start and stop of the whole stack
scripts/test.sh --all      the rest too, as CI does: every injected fault, rootless engines, Kubernetes, the attacker, egress, supply chain, PyTorch
scripts/test.sh --full     hours and gigabytes more: a real ComfyUI (COMFYUI=DIR takes it from there), storms, a thousand races, large trees
scripts/test.sh NAME...    of all tests those whose name contains NAME

Its images, takumi-tests-NUMBER-*, stay for the next run of this checkout.

TAKUMI_ALLOW_SKIP=1        a test that cannot run here is skipped; without it, it fails and names what is missing
EOF
}

level=quick names=()
while (($# > 0)); do
    case $1 in
    --all | --full) level=${1#--} ;;
    -h | --help)
        usage
        exit
        ;;
    -*)
        usage >&2
        exit 2
        ;;
    *) names+=("$1") ;;
    esac
    shift
done
if ((${#names[@]} > 0)) && [[ $level == quick ]]; then level=all; fi

began=$SECONDS
cd "$ROOT"

# packages: COMMAND:PACKAGE of tests/support/packages.txt that this level needs and this machine lacks.
packages() {
    local first second third
    while read -r first second third; do
        [[ $first != '#'* && -n $first ]] || continue
        if [[ $first != all ]]; then echo "$first:$second"; elif [[ $level != quick ]]; then echo "$second:$third"; fi
    done <tests/support/packages.txt
}
mapfile -t packages < <(packages)
need "${packages[@]}" pip3:python3-pip

# A runner for tests, as its project recommends: one process a test, with a limit of its own.
find_nextest() {
    if cargo nextest --version >/dev/null 2>&1; then return; fi
    local tool=$BUILT_TOOLS/nextest
    find_pip
    "${PIP[@]}" install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --only-binary :all: --require-hashes \
        --upgrade --target "$tool" \
        -r scripts/test/nextest.txt || die "pip cannot install cargo-nextest: install it (https://nexte.st), then try again"
    # shellcheck disable=SC2031
    export PATH=$tool/bin:$PATH
}

end_tree() {
    local child
    for child in $(pgrep -P "$1"); do end_tree "$child"; done
    kill "$1" 2>/dev/null || true
}

work=$(mktemp -d)
engine=false jobs=()
clean_up() {
    # Ctrl-C does not reach what bash has in the background.
    for job in "${jobs[@]}"; do end_tree "$job"; done
    [[ ! -x ${runner:-} ]] || "$runner" --sweep $$ 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT

# Nothing that follows says which of two jobs it is about: each has a log, which is shown where it fails.
job() {
    local log=$work/$1.log
    shift
    ("$@") >"$log" 2>&1 || { cat "$log" >&2; return 1; }
}

build_binary() {
    build_init
    echo "$INIT" >"$work/init"
}

build_tests() { cargo test --workspace --no-run; }

# torch is a base and nothing more.
from=(--stand-in) images=(demo comfyui gateway)
if [[ $level != quick ]]; then images+=(torch); fi
if [[ $level == full ]]; then from=(${COMFYUI:+--comfyui "$COMFYUI"}); fi

build_images() { INIT=${INIT:-} scripts/build.sh "${from[@]}" "$@"; }

# Names of their own: what `up.sh` runs of this machine, and what another checkout tests, stay as they are.
IMAGE_PREFIX=takumi-tests-$(cksum <<<"$ROOT" | cut -d ' ' -f 1)
export IMAGE_PREFIX
export CONTAINER_ENGINE TAKUMI_TEST_LEVEL=$level TAKUMI_TEST_RUN=$$ RUST_BACKTRACE=0
if (find_engine && engine_answers) 2>/dev/null; then
    find_engine
    CONTAINER_ENGINE=${ENGINE[*]} engine=true
else
    warn "no container engine answers: every test that needs one will fail and say so"
fi
find_nextest
say "building the programs, the tests and the images"
# Three things that wait for each other nowhere: the tests, the binary, and what the images stand on. More jobs than processors, so that a
# busy neighbour is one of many.
export CARGO_BUILD_JOBS=$((2 * $(nproc)))
job tests build_tests &
jobs+=($!)
if $engine; then
    job bases build_images --bases "${images[@]}" &
    jobs+=($!)
fi
job init build_binary || die "the binary cannot be built"
INIT=$(<"$work/init")
wait "${jobs[1]:-${jobs[0]}}" || die "the base images cannot be made"
if $engine; then
    job comfyui build_images comfyui &
    jobs+=($!)
    job images build_images demo gateway || die "the images cannot be built"
    wait "${jobs[2]}" || die "ComfyUI's image cannot be built"
fi
wait "${jobs[0]}" || die "the tests cannot be built"
jobs=()

export INIT_UNDER_TEST=$INIT
runner=${INIT%/release/init}/debug/takumi-test-runner
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=$runner
# What runs that were killed left behind: their networks keep their subnets for ever.
"$runner" --sweep
say "built in $((SECONDS - began)) s"

# Most tests wait for an engine or a timer.
run=(--workspace --profile "$level")
cargo nextest list "${run[@]}" "${names[@]}" --message-format json >"$work/list.json" 2>"$work/list.log" || { cat "$work/list.log" >&2; exit 1; }
if ((${#names[@]} > 0)); then
    cp "$work/list.json" "$work/everything.json"
else
    cargo nextest list --workspace --profile full --message-format json >"$work/everything.json" 2>/dev/null
fi
junit=$ROOT/target/nextest/$level/junit.xml
rm -f "$junit"
cargo nextest run "${run[@]}" --no-tests pass --test-threads $((2 * $(nproc))) "${names[@]}" </dev/null || true
say "in $((SECONDS - began)) s:"
scripts/test/summary.py "$level" "$work/list.json" "$work/everything.json" "$junit"
