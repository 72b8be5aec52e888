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
    podman:podman runc:runc busybox:busybox bindfs:bindfs
)

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
if find_engine_or_say; then "$ROOT/scripts/build.sh"; fi
build_init
export INIT_UNDER_TEST=$INIT RUST_BACKTRACE=0

# What passing tests say is of interest where they skip, and where the long ones report their counts. (A control that must fail
# panics inside a test that passes: nobody wants to read that.)
without_successes() {
    if [[ -n ${FULL:-} ]]; then cat; else sed -u '/^successes:$/,/^\(failures:$\|test result:\)/{/^skipped: /b;/^failures:$/b;/^test result:/b;d}'; fi
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0
# The programs under test are the release binary; the tests themselves gain nothing from minutes of optimisation.
# --show-output: a test that skips says so on its output, which cargo hides when the test passes.
(cd "$ROOT" && "${LIMIT[@]}" cargo test --no-fail-fast -- --show-output "${filter[@]}") </dev/null 2>&1 |
    tee "$log" | without_successes || failed=${PIPESTATUS[0]}

sum() { sed -n "s/^test result: .* \([0-9]*\) $1.*/\1/p" "$log" | awk '{ total += $1 } END { print total + 0 }'; }
skips() { grep -E '^\s*skipped: ' "$log" || true; }

skipped=$(($(skips | wc -l) + $(sum ignored)))
say ""
skips | sort | uniq -c
((failed != 124)) || warn "stopped after 25 minutes"
say "in $((SECONDS - began)) s:"
say "$(($(sum passed) - $(skips | wc -l))) passed, $(sum failed) failed, $skipped skipped"
if ((failed != 0)); then exit 1; fi
(($(sum passed) > 0)) || die "no test ran"
if [[ ${CI:-} == true ]] && ((skipped > 0)); then die "in CI nothing may be skipped"; fi
