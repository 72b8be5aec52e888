#!/usr/bin/env bash
# Measures init beside its peers, everything interleaved in one run, and says of each goal whether it is held.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
    cat <<'EOF'
scripts/bench.sh                every topic but skips; needs root
scripts/bench.sh --only TOPIC   start, exec, unprivileged, rest, orphans, signal, syscalls, ownership or skips
    --runs N      rounds of the topics of a start, 200 unless told
    --rounds N    rounds over the large tree of the topics ownership and skips, 3 unless told
    --strict      a missed goal exits with 1

Ratios carry the verdict: absolute times are those of the machine and of its load. INIT_UNDER_TEST measures another binary.
EOF
}

case ${1:-} in
-h | --help)
    usage
    exit
    ;;
esac
[[ $(id -u) == 0 ]] || die "run it as root: a start as root is measured"

need tini:tini dumb-init:dumb-init catatonit:catatonit gosu:gosu setpriv:util-linux strace:strace \
    readelf:binutils busybox:busybox find:findutils

cd "$ROOT"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$ROOT/target}"
INIT=${INIT_UNDER_TEST:-}
if [[ -n $INIT ]]; then check_static_pie "$INIT"; else build_init; fi
cargo build --quiet --locked --release --example bench

# On a disk and written back: a page of the file that waits for that would count as dirty memory of who maps it.
work=$(mktemp -d -p /var/tmp)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
# 0711 as in an image: the app's user can start it and not read it.
install -m 711 "$INIT" "$work/init"
install -m 755 "$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/release/examples/bench" "$work/bench"
rustc --edition 2024 -o "$work/stamp" tests/programs/bench/stamp.rs \
    -C panic=abort -C strip=symbols -C relocation-model=static -C target-feature=+crt-static \
    -C link-arg=-nostartfiles -C link-arg=-nostdlib -C link-arg=-static -C link-arg=-Wl,--build-id=none
# The usual entrypoint: a shell that hands over by exec.
printf '#!/bin/sh\nset -e\nexec "$@"\n' >"$work/entrypoint.sh"
chmod 755 "$work/entrypoint.sh" "$work/stamp"
sync "$work"/*

# What init writes under /run stays in a mount namespace of this run.
# shellcheck disable=SC2016
unshare --mount --propagation private sh -c 'mount -t tmpfs tmpfs /run && exec "$0/bench" "$0" "$@"' "$work" "$@"
