#!/usr/bin/env bash
# Makes keys, encrypts, sets, rotates and checks the values of a .env file, without Node. No value is ever shown.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# cargo itself sees whether there is anything to build.
build_tool() {
    TOOL=$(release_cargo build --quiet --bin takumi-secrets --message-format=json-render-diagnostics |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p') || die "cargo build failed"
    [[ -x $TOOL ]] || die "cargo named no binary"
}

# Typed at a terminal, a value is not echoed; it goes on by pipe, since every user can read a command line.
ask_for_value() {
    local value
    IFS= read -rsp "value of $1 (not shown): " value
    printf '\n' >&2
    printf '%s' "$value"
}

build_tool
if [[ ${1:-} == set && $# == 3 && -t 0 ]]; then
    ask_for_value "$3" | "$TOOL" "$@"
else
    exec "$TOOL" "$@"
fi
