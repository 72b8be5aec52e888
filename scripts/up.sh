#!/usr/bin/env bash
# Runs the demonstration image in a hardened container and shows what is left in it.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
    cat <<'EOF'
scripts/up.sh                    build what is needed, start, wait for the app, show what the container holds
scripts/up.sh status             show it again
scripts/up.sh logs               what init and the app said
scripts/up.sh down [--volumes]   stop it and say its exit code; --volumes removes its data too

environment:
  DEMO_PORT         port on 127.0.0.1, 0 for any free one (8188)
  DEMO_NAME         name of the container; its volume is NAME-data (takumi-demo)
  DEMO_IMAGE        run this image as it is and build nothing
  DEMO_WAIT         how long the app may take to answer (60)
  CONTAINER_ENGINE  docker or podman, with options if need be
EOF
}

NAME=${DEMO_NAME:-takumi-demo}
VOLUME=$NAME-data
IMAGE=${DEMO_IMAGE:-$DEMO_IMAGE_NAME}
WAIT=${DEMO_WAIT:-60}
APP_PORT=8188

# README.md gives the reason for each.
CAPABILITIES=(SETUID SETGID SETPCAP CHOWN DAC_READ_SEARCH FOWNER)

state() { engine container inspect --format "{{.State.$1}}" "$NAME" 2>/dev/null; }

running() { [[ $(state Running) == true ]]; }

up() {
    if running; then
        say "$NAME is running already; 'scripts/up.sh down' ends it"
        status
        return
    fi
    if [[ -z ${DEMO_IMAGE:-} ]]; then "$ROOT/scripts/build.sh"; fi
    # A container that has ended is kept for its log until the next start.
    engine rm --force "$NAME" >/dev/null 2>&1 || true
    # Whatever ends this script before all is well, Ctrl-C too, takes the half-started container with it.
    trap 'engine rm --force "$NAME" >/dev/null 2>&1 || true' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    start || die "the container could not be started"
    await_answer
    status
    trap - EXIT INT TERM
}

start() {
    engine run --detach --name "$NAME" \
        --read-only \
        --tmpfs /tmp:rw,nosuid,nodev,noexec,size=256m,mode=1777 \
        --tmpfs /run:rw,nosuid,nodev,noexec,size=16m,mode=755 \
        --mount "type=volume,source=$VOLUME,destination=/data" \
        --cap-drop ALL "${CAPABILITIES[@]/#/--cap-add=}" \
        --security-opt no-new-privileges \
        --pids-limit 256 --memory 1g \
        --publish "127.0.0.1:${DEMO_PORT:-8188}:$APP_PORT" \
        "$IMAGE" >/dev/null
}

await_answer() {
    local deadline=$((SECONDS + WAIT))
    until ask /prompt >/dev/null 2>&1; do
        running || give_up "the container ended with code $(state ExitCode) before the app answered"
        ((SECONDS < deadline)) || give_up "the app did not answer within $WAIT s"
        sleep 0.1
    done
}

give_up() {
    warn "$1; its log:"
    engine logs "$NAME" >&2 || true
    exit 1
}

address() { engine port "$NAME" "$APP_PORT/tcp" 2>/dev/null | sed -n 1p; }

# The answer's body; bash speaks enough HTTP for that, so the host needs no curl. In a shell of its own: the engine's proxy
# may close the connection while the app is not there yet, and the SIGPIPE of that must end nothing else.
ask() (
    where=$(address)
    [[ -n $where ]] || exit 1
    exec 3<>"/dev/tcp/${where%:*}/${where##*:}" || exit 1
    printf 'GET %s HTTP/1.0\r\nHost: %s\r\n\r\n' "$1" "$where" >&3
    answer=$(timeout 5 cat <&3)
    [[ $answer == HTTP/*' 200 '* ]] || exit 1
    printf '%s\n' "${answer#*$'\r\n\r\n'}"
)

status() {
    running || die "$NAME does not run"
    local pid1 app identity pid
    identity=$(ask /identity) || die "the app at $(address) does not answer"
    [[ $identity =~ \"app\":\ \{\"pid\":\ ([0-9]+) ]] || die "the app does not tell its pid: $identity"
    pid=${BASH_REMATCH[1]}
    # The kernel's words, not the app's: only its pid is taken from it.
    pid1=$(engine exec "$NAME" cat /proc/1/status)
    app=$(engine exec "$NAME" cat "/proc/$pid/status")
    say ""
    say "$NAME answers at http://$(address)/"
    say ""
    row "" "PID 1" "the app"
    row "program" "$(field Name "$pid1")" "$(field Name "$app") (pid $pid)"
    local each
    for each in Uid Gid Groups CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp; do
        row "$each" "$(field "$each" "$pid1")" "$(field "$each" "$app")"
    done
    local root
    root=$(root_mount)
    row "root" "$root" ""
    say ""
    local both=$pid1$'\n'$app
    [[ $(caps "$both") =~ ^0+$ ]] || die "a capability is left in the container: see the sets above"
    grep -Eq '^[UG]id:.*[[:space:]]0([[:space:]]|$)' <<<"$both" && die "a process runs as root: see above"
    grep -q '^NoNewPrivs:.*0' <<<"$both" && die "a process can gain privileges by exec: NoNewPrivs is 0"
    [[ $root == read-only ]] || die "the root file system is writable"
    say "Nobody in there is root, holds a capability or can get one back."
}

row() { printf '  %-12s %-24s %s\n' "$@"; }

field() {
    local line
    line=$(grep -m 1 "^$1:" <<<"$2")
    tr -s '\t ' ' ' <<<"${line#*:}" | sed 's/^ //; s/ $//'
}

caps() { sed -n 's/^Cap[A-Z][a-z]*:\t//p' <<<"$1" | tr -d '\n'; }

root_mount() {
    engine exec "$NAME" cat /proc/1/mountinfo |
        while read -r _ _ _ _ point options _; do
            if [[ $point == / ]]; then
                if [[ ,$options, == *,ro,* ]]; then say "read-only"; else say "WRITABLE"; fi
            fi
        done | tail -n 1
}

down() {
    local began=$SECONDS
    if running; then
        engine stop --time 10 "$NAME" >/dev/null
        say "$NAME ended with code $(state ExitCode) after $((SECONDS - began)) s (143: the app died of SIGTERM, as ComfyUI does)"
    else
        say "$NAME does not run"
    fi
    engine rm --force "$NAME" >/dev/null 2>&1 || true
    if [[ ${1:-} == --volumes ]]; then
        engine volume rm --force "$VOLUME" >/dev/null
        say "volume $VOLUME removed"
    elif engine volume inspect "$VOLUME" >/dev/null 2>&1; then
        say "volume $VOLUME stays; 'scripts/up.sh down --volumes' removes it"
    fi
}

case "${1:-up} ${2:-}" in
'-h '* | '--help '*)
    usage
    exit
    ;;
'up ' | 'status ' | 'logs ' | 'down ' | 'down --volumes') ;;
*)
    usage >&2
    exit 2
    ;;
esac
require_engine
case ${1:-up} in
up) up ;;
status) status ;;
logs) engine logs "$NAME" ;;
down) down "${2:-}" ;;
esac
