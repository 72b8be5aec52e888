#!/usr/bin/env bash
# Measures init beside its peers, everything interleaved in one run, and says of each goal whether it is held.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
    cat <<'EOF'
scripts/bench.sh                every topic but skips; needs root
scripts/bench.sh --only TOPIC   start, exec, unprivileged, rest, orphans, signal, ends, syscalls, ownership, check, lock, stops,
                               nodes or skips
    --runs N      rounds of the topics of a start, of check and of lock, 200 unless told
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
# In containers, and so by scripts of their own.
for topic in stops nodes; do
    if [[ $* == *"--only $topic"* ]]; then exec "$ROOT/scripts/bench/$topic.sh"; fi
done
[[ $(id -u) == 0 ]] || die "run it as root: a start as root is measured"

need ip:iproute2 tini:tini dumb-init:dumb-init catatonit:catatonit gosu:gosu setpriv:util-linux strace:strace \
    readelf:binutils busybox:busybox-static find:findutils curl:curl python3:python3 pip3:python3-pip

cd "$ROOT"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$ROOT/target}"
INIT=${INIT_UNDER_TEST:-}
if [[ -n $INIT ]]; then check_static_pie "$INIT"; else build_init; fi
release_cargo build --quiet --example bench

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
# What the topic lock imports.
if [[ $* != *--only* || $* == *"--only lock"* ]]; then
    if /usr/bin/python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target "$work/new" \
        numpy pillow aiohttp; then
        mv "$work/new" "$work/site"
    else
        warn "pip cannot have NumPy, Pillow and aiohttp"
    fi
fi
sync "$work"/*

# init looks at every mount, device and interface: what this machine has of them is gone in there, and what is left is what a container
# has. What init writes under /run stays in there too.
missed=0
# shellcheck disable=SC2016
unshare --mount --net --propagation private sh -c '
    set -e
    while read -r _ _ _ _ point _; do
        case $point in
        / | /proc | /proc/* | /sys | /sys/* | /dev) ;;
        *) umount -l "$point" 2>/dev/null || true ;;
        esac
    done </proc/self/mountinfo
    mount -t tmpfs tmpfs /run
    mount -t sysfs -o ro,nosuid,nodev,noexec sysfs /sys
    ip link set lo up
    mkdir /run/dev
    for name in null zero full random urandom tty; do
        touch "/run/dev/$name"
        mount --bind "/dev/$name" "/run/dev/$name"
    done
    mkdir /run/dev/pts /run/dev/shm
    mount -t devpts -o newinstance,ptmxmode=0666 devpts /run/dev/pts
    mount -t tmpfs tmpfs /run/dev/shm
    ln -s pts/ptmx /run/dev/ptmx
    ln -s /proc/self/fd /run/dev/fd
    mount --rbind /run/dev /dev
    exec "$0/bench" "$0" "$@"' "$work" "$@" || missed=1
for topic in stops nodes; do
    if [[ $* != *--only* ]]; then "$ROOT/scripts/bench/$topic.sh" || { [[ $* != *--strict* ]] || missed=1; }; fi
done
exit $missed
