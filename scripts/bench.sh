#!/bin/sh
# Measures init beside its peers, everything interleaved in one run, and says of each goal whether it is held.
#
# usage: bench.sh [--runs N] [--only start|exec|unprivileged|rest|orphans|signal|syscalls] [--strict]
#
# Needs root. Ratios carry the verdict: absolute times are those of the machine and of its load. --strict makes a missed
# goal exit 1. INIT_UNDER_TEST measures another binary.
set -eu
cd "$(dirname "$0")/.."

[ "$(id -u)" = 0 ] || { echo "bench.sh: run it as root: a start as root is measured" >&2; exit 2; }

packages="tini dumb-init catatonit gosu util-linux strace"
# shellcheck disable=SC2086
dpkg --status $packages >/dev/null 2>&1 || apt-get install --yes --no-install-recommends $packages >&2

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
built="$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/release"
[ -n "${INIT_UNDER_TEST:-}" ] || cargo build --quiet --locked --release --bin init
cargo build --quiet --locked --release --example bench

# On a disk and written back: a page of the file that waits for that would count as dirty memory of who maps it.
work=$(mktemp -d -p /var/tmp)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
# 0711 as in an image: the app's user can start it and not read it.
install -m 711 "${INIT_UNDER_TEST:-$built/init}" "$work/init"
install -m 755 "$built/examples/bench" "$work/bench"
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
