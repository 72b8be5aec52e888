#!/usr/bin/env bash
# Installs what the tests need, builds the release binary and the demonstration image, runs every test, counts.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
    cat <<'EOF'
scripts/test.sh           unit, namespace and container tests, at most 25 minutes
scripts/test.sh --full    the long ones too (FULL=1 in the tests' environment), without a time limit
scripts/test.sh NAME      only the tests whose name contains NAME

With CI=true a skipped test is a failure.
EOF
}

# A person at a terminal has Ctrl-C, which would not reach into the process group that timeout makes.
LIMIT=(timeout --kill-after=30 25m)
if [[ -t 0 ]]; then LIMIT=(); fi

# Peers and tools that the tests run beside `init`.
TOOLS=(
    tini:tini dumb-init:dumb-init catatonit:catatonit gosu:gosu strace:strace
    setpriv:util-linux unshare:util-linux nsenter:util-linux capsh:libcap2-bin setfacl:acl
    setfattr:attr chattr:e2fsprogs newuidmap:uidmap ps:procps python3:python3 script:bsdutils
    podman:podman runc:runc busybox:busybox-static bindfs:bindfs jq:jq objcopy:binutils
    tinyproxy:tinyproxy-bin ip:iproute2 nft:nftables git:git pip3:python3-pip
    slirp4netns:slirp4netns rootlesskit:rootlesskit docker-compose:docker-compose
)
# Without a command to look for: Podman's networks, and what tests/supply fills a virtual environment with.
[[ -x /usr/lib/podman/netavark ]] || TOOLS+=(netavark:netavark)
[[ -x /usr/lib/podman/aardvark-dns ]] || TOOLS+=(aardvark-dns:aardvark-dns)
python3 -c 'import ensurepip' 2>/dev/null || TOOLS+=(ensurepip:python3-venv)

filter=()
case ${1:-} in
'') ;;
--full)
    export FULL=1
    LIMIT=()
    ;;
-*)
    [[ $1 == -h || $1 == --help ]] || { usage >&2; exit 2; }
    usage
    exit
    ;;
*) filter=("$1") ;;
esac

began=$SECONDS
need "${TOOLS[@]}"
find_engine_or_say() {
    if (find_engine) 2>/dev/null; then
        find_engine
        export CONTAINER_ENGINE=${ENGINE[*]}
        if engine_answers; then return; fi
    fi
    warn "no container engine answers: the container tests will be skipped"
    return 1
}
# What a run that was killed left behind: its networks keep their subnets for ever. The test program that made a thing is in its name,
# takumi-test-KIND-PID-NUMBER; what a living one made is another run's.
remove_abandoned() {
    local kind list=() name pid
    for kind in container network volume image; do
        case $kind in
        container) mapfile -t list < <(engine ps --all --format '{{.Names}}') ;;
        image) mapfile -t list < <(engine image ls --format '{{.Repository}}:{{.Tag}}') ;;
        *) mapfile -t list < <(engine "$kind" ls --format '{{.Name}}') ;;
        esac
        for name in "${list[@]}"; do
            [[ $name =~ ^takumi-test-[a-z-]+-([0-9]+)-[0-9]+([^0-9]|$) ]] || continue
            pid=${BASH_REMATCH[1]}
            [[ $(readlink "/proc/$pid/exe" || true) != */deps/* ]] || continue
            say "removing the $kind $name of a run that is over"
            case $kind in
            container | image) engine "$kind" rm --force "$name" >/dev/null ;;
            *) engine "$kind" rm "$name" >/dev/null ;;
            esac || warn "it stays"
        done
    done
}
if find_engine_or_say; then
    remove_abandoned
    "$ROOT/scripts/build.sh" --stand-in demo comfyui gateway torch
fi
build_init
export INIT_UNDER_TEST=$INIT RUST_BACKTRACE=0

# What passing tests say is of interest where they skip, and where the long ones report their counts. (A control that must fail
# panics inside a test that passes: nobody wants to read that.)
without_successes() {
    if [[ -n ${FULL:-} ]]; then cat; else sed -u '/^successes:$/,/^\(failures:$\|test result:\)/{/^skipped: /b;/^failures:$/b;/^test result:/b;d}'; fi
}

# Two lanes, because most tests wait for an engine. What changes the machine itself (users with an engine of their own, /dev/net/tun, fixed
# subnets) stands in the first, one after the other.
FIRST=(attacker egress kubernetes rootless seccomp stack)

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# lane NAME ARGUMENT...: what cargo says goes to the screen and to a log. The programs under test are the release binary; the tests themselves
# gain nothing from minutes of optimisation. --show-output: a test that skips says so on its output, which cargo hides when the test passes.
lane() {
    local log=$logs/$1
    shift
    (cd "$ROOT" && "${LIMIT[@]}" cargo test --no-fail-fast "$@" -- --show-output "${filter[@]}") </dev/null 2>&1 | tee "$log" | without_successes
    return "${PIPESTATUS[0]}"
}

first=() second=(--lib)
for crate in "$ROOT"/tests/*/main.rs; do
    name=$(basename "$(dirname "$crate")")
    if [[ " ${FIRST[*]} " == *" $name "* ]]; then first+=(--test "$name"); else second+=(--test "$name"); fi
done
failed=0
# Once for both: two of them would wait for each other's lock.
(cd "$ROOT" && cargo test --no-run) </dev/null || failed=$?
if ((failed == 0)); then
    lane first "${first[@]}" &
    lane second "${second[@]}" || failed=$?
    wait $! || failed=$?
fi

sum() { sed -n "s/^test result: .* \([0-9]*\) $1.*/\1/p" "$logs"/* | awk '{ total += $1 } END { print total + 0 }'; }
skips() { grep -hE '^\s*skipped: ' "$logs"/* || true; }

skipped=$(($(skips | wc -l) + $(sum ignored)))
say ""
skips | sort | uniq -c
((failed != 124)) || warn "stopped after 25 minutes"
say "in $((SECONDS - began)) s:"
say "$(($(sum passed) - $(skips | wc -l))) passed, $(sum failed) failed, $skipped skipped"
if ((failed != 0)); then exit 1; fi
(($(sum passed) > 0)) || die "no test ran"
if [[ ${CI:-} == true ]] && ((skipped > 0)); then die "in CI nothing may be skipped"; fi
