# shellcheck shell=bash
# What the scripts share. Sourced, never run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Used by those who source this.
# shellcheck disable=SC2034
DEMO_IMAGE_NAME=takumi-demo

say() { printf '%s\n' "$*"; }
warn() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
    warn "$*"
    exit 1
}

# need COMMAND:PACKAGE... installs the packages of the commands that are missing, or says what to install. A path is a file or folder.
need() {
    local pair missing=()
    for pair in "$@"; do
        # /usr/sbin is not on every user's PATH, and some of these live there.
        [[ ${pair%%:*} == /* && -e ${pair%%:*} ]] || PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" >/dev/null ||
            missing+=("${pair##*:}")
    done
    ((${#missing[@]} == 0)) && return
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        die "please install first: ${missing[*]}   (on Debian: sudo apt-get install ${missing[*]})"
    fi
    say "installing ${missing[*]}"
    # One source of many that does not answer is no reason to give up.
    apt_get update || warn "apt-get update failed"
    apt_get install --no-install-recommends "${missing[@]}" || die "apt-get install failed"
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 "$@" </dev/null >/dev/null
}

# Sets PIP to the words that start pip.
find_pip() {
    local python
    for python in python3 /usr/bin/python3; do
        if "$python" -m pip --version >/dev/null 2>&1; then
            # shellcheck disable=SC2034
            PIP=("$python" -m pip)
            return
        fi
    done
    need pip3:python3-pip
    # shellcheck disable=SC2034
    PIP=(/usr/bin/python3 -m pip)
}

# Sets ENGINE, the words that start the container engine: CONTAINER_ENGINE or DOCKER if given, else docker, else podman.
find_engine() {
    local wish=${CONTAINER_ENGINE:-${DOCKER:-}}
    if [[ -z $wish ]]; then
        if command -v docker >/dev/null; then wish=docker; else wish=podman; fi
    fi
    read -ra ENGINE <<<"$wish"
    command -v "${ENGINE[0]}" >/dev/null || die "no container engine: install docker or podman, or set CONTAINER_ENGINE"
}

engine() { "${ENGINE[@]}" "$@"; }

engine_answers() { engine info >/dev/null 2>&1; }

require_engine() {
    find_engine
    engine_answers || die "'${ENGINE[*]} info' fails: is the daemon running, and is $(id -un) allowed to use it?"
}

# Tools that no distribution packages are built for this checkout alone.
BUILT_TOOLS=$(cd "$ROOT" && realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")/tools
CARGO_AUDITABLE_VERSION=0.7.7

# Builds the release binaries, sets INIT and NODES to their paths, and fails unless each is a static-pie that carries the list of its crates.
build_init() {
    need readelf:binutils ldd:libc-bin
    local program
    INIT=$(release_cargo build --bin init --bin takumi-nodes --message-format=json-render-diagnostics |
        sed -n 's/.*"executable":"\([^"]*\/init\)".*/\1/p') || die "cargo build failed"
    find_nodes
    for program in "$INIT" "$NODES"; do
        readelf --wide --section-headers "$program" | grep -F ' .dep-v0 ' >/dev/null || die "$program has no list of its crates (section .dep-v0)"
    done
}

# Sets NODES to the program that reads nodes, which lies beside INIT, as in an image.
find_nodes() {
    local program
    NODES=${INIT%/*}/takumi-nodes
    for program in "$INIT" "$NODES"; do
        [[ -x $program ]] || die "$program is not a program"
        check_static_pie "$program"
    done
}

# release_cargo ARGUMENT... runs `cargo ARGUMENT... --release` for programs that people get: they carry the list of their crates, where
# scanners look, and their bytes depend on the sources, the compiler, the linker and libc, not on where they were built.
release_cargo() (
    cd "$ROOT" || exit
    command -v cargo >/dev/null || die "cargo is missing: see https://rustup.rs"
    tool=$BUILT_TOOLS/cargo-auditable-$CARGO_AUDITABLE_VERSION
    [[ -x $tool/bin/cargo-auditable ]] || install_cargo_auditable "$tool" >&2
    # Panic messages name the crates' files, by folders that are another on every machine. A crate's folder is there once it is fetched.
    cargo fetch --quiet --locked || die "cannot fetch the crates of Cargo.lock (is the network up?)"
    flags="'--remap-path-prefix=$(rustc --print sysroot)/lib/rustlib/src/rust=/rustc/$(rustc --version --verbose | sed -n 's/^commit-hash: //p')'"
    for folder in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do
        flags+=",'--remap-path-prefix=${folder%/}=/crates'"
    done
    # `cargo auditable` would name itself to cargo by its whole path, and cargo hashes that into every symbol. By its bare name it is the
    # same everywhere; the variable is what `cargo auditable` hands to itself.
    export PATH=$tool/bin:$PATH RUSTC_WORKSPACE_WRAPPER=cargo-auditable
    export CARGO_AUDITABLE_ORIG_ARGS='{"offline":false,"locked":true,"frozen":false,"config":[]}'
    cargo --config "target.x86_64-unknown-linux-gnu.rustflags=[$flags]" "$@" --release --locked
)

install_cargo_auditable() {
    say "installing cargo-auditable $CARGO_AUDITABLE_VERSION for this checkout (once)"
    # cargo install would fill the project's own target directory. --debug: it is built in half the time, and what it writes is the same.
    env -u CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=false cargo install --quiet --locked --debug --root "$1" "cargo-auditable@$CARGO_AUDITABLE_VERSION" ||
        die "cannot install cargo-auditable, which writes the list of crates into a release"
}

check_static_pie() {
    local binary=$1 wrong=()
    readelf --wide --file-header "$binary" | grep -q 'Type: *DYN' || wrong+=("it is not position-independent")
    readelf --wide --program-headers "$binary" | grep -q INTERP && wrong+=("it asks for a dynamic loader")
    readelf --wide --dynamic "$binary" | grep -q NEEDED && wrong+=("it needs shared libraries")
    # ldd exits 1 for a file that is no dynamic program at all, 0 for a static-pie: the words count.
    ldd "$binary" 2>&1 | grep -q 'statically linked' || wrong+=("ldd does not call it statically linked")
    ((${#wrong[@]} == 0)) && return
    warn "$binary is not a static-pie:"
    printf '  %s\n' "${wrong[@]}" >&2
    if [[ -n ${RUSTFLAGS:-}${CARGO_ENCODED_RUSTFLAGS:-} ]]; then
        warn "RUSTFLAGS in the environment replaces the flags of .cargo/config.toml:" \
            "unset it, or add '-C target-feature=+crt-static -C relocation-model=pie' to it"
    fi
    exit 1
}
