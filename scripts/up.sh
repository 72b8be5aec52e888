#!/usr/bin/env bash
# Starts ComfyUI behind its shields, image/compose.yaml, on the engine that is there, and shows what is left in it.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/up/engine.sh
source "$ROOT/scripts/up/engine.sh"
# shellcheck source=scripts/up/podman.sh
source "$ROOT/scripts/up/podman.sh"
# shellcheck source=scripts/up/wait.sh
source "$ROOT/scripts/up/wait.sh"
# shellcheck source=scripts/up/show.sh
source "$ROOT/scripts/up/show.sh"

usage() {
    cat <<'EOF_USAGE'
scripts/up.sh                    build what has changed, start the stack, wait for it, show the page's address and what it holds
scripts/up.sh status             show it again
scripts/up.sh logs [SERVICE]     what they said: egress, comfyui, gateway
scripts/up.sh down [--volumes]   end the stack and say comfyui's exit code; --volumes removes its data too

environment:
  UI_PORT           the page's port on 127.0.0.1, 0 for any free one (8188)
  STACK_NAME        name of the compose project: containers, networks and volumes begin with it (takumi)
  STACK_WAIT        how many seconds a service may take until it is healthy (300)
  BUILD             no: build nothing, run the images that are there
  IMAGE_PREFIX      run PREFIX-comfyui, PREFIX-egress and PREFIX-gateway (takumi)
  VARIANT           gpu: build for a GPU and give it to comfyui (cpu)
  CONTAINER_ENGINE  docker or podman, with options if need be; default: what answers, docker before podman

Variables of image/compose.yaml (EGRESS_ALLOW, COMFYUI_MEMORY, STACK_REQUIRE, INSIDE_SUBNET ...) and of scripts/build.sh are passed on.
EOF_USAGE
}

NAME=${STACK_NAME:-takumi}
WAIT=${STACK_WAIT:-300}
# In the order of their start.
SERVICES=(egress comfyui gateway)

up() {
    if all_run; then
        say "$NAME is running already; to stop it: scripts/up.sh down"
        status
        return
    fi
    if [[ ${BUILD:-} != no ]]; then "$ROOT/scripts/build.sh" comfyui gateway; fi
    # Whatever ends this script before all is well, Ctrl-C too, takes the half-started stack with it.
    trap 'take_down_again' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    say "starting ${SERVICES[*]} (project $NAME)"
    # Beside this script, so that it can watch and be interrupted: compose itself waits for egress without an end.
    SAID=$WORK/compose.log
    if [[ $KIND == *podman ]]; then make_inside; fi
    compose up --detach --no-color >"$SAID" 2>&1 &
    STARTING=$!
    local service
    for service in "${SERVICES[@]}"; do await "$service"; done
    if [[ -n $STARTING ]]; then wait "$STARTING" || give_up "compose failed"; fi
    STARTING=
    await_page
    status
    trap 'rm -rf "$WORK"' EXIT
    trap - INT TERM HUP
    if [[ $KIND == *podman ]] && ! watched; then
        say "Without systemd Podman runs no health checks: nothing watches the stack from now on; to check it: scripts/up.sh status"
    fi
}

take_down_again() {
    # A second Ctrl-C must not stop the cleaning.
    trap '' INT TERM HUP
    if [[ -n ${STARTING:-} ]] && kill "$STARTING" 2>/dev/null; then wait "$STARTING" || true; fi
    if any_there; then
        warn "taking the half-started stack down again"
        remove_all || { sleep 2; remove_all; } || { cat "$WORK/down.log" >&2; warn "that failed; to see what is left: scripts/up.sh status"; }
    fi
    remove_inside
    end_service
    rm -rf "$WORK"
}

# Twice where need be: the engine may still be at what compose had asked for.
remove_all() { compose down --timeout 2 >"$WORK/down.log" 2>&1; }

status() {
    local service verdict=0 id
    all_run || {
        for service in "${SERVICES[@]}"; do say "$service: $(state "$service" State.Status || echo 'there is none')"; done
        die "$NAME does not run"
    }
    id=$(container comfyui)
    say ""
    say "The start report of comfyui:"
    start_report "$id" | sed 's/^/  /'
    say ""
    say "/init --check in comfyui:"
    check comfyui "$id" >"$WORK/check-comfyui" 2>&1 || verdict=$?
    engine exec "$id" /init --check 2>&1 | sed 's/^/  /' || true
    ((verdict == 0)) || die "comfyui is not healthy"
    say ""
    kernel_words "$id"
    say ""
    page || die "there is no page at http://$(address)/"
    case $(engine container inspect --format '{{index .Config.Labels "org.opencontainers.image.version"}}' "$id") in
    stand-in) say "This is the stand-in for ComfyUI, behind the same shields: scripts/build.sh had no ComfyUI to build." ;;
    esac
    say "The page: http://$(address)/"
}

logs() {
    local service
    if [[ -n ${1:-} ]]; then
        [[ -n $(container "$1") ]] || die "there is no container of $1"
        engine logs "$(container "$1")"
        return
    fi
    for service in "${SERVICES[@]}"; do show_log "$service"; done
}

show_log() {
    local id
    id=$(container "$1")
    shift
    [[ -n $id ]] || return 0
    say "--- $(engine container inspect --format '{{.Name}}' "$id" | sed 's,^/,,'):"
    engine logs "$@" "$id" 2>&1 || true
}

down() {
    local began=$SECONDS
    if any_there; then
        say "stopping $NAME: comfyui has ten seconds to finish its work"
        compose stop --timeout 10 >/dev/null 2>&1 || warn "stopping failed; removing the containers anyway"
        if [[ -n $(container comfyui) ]]; then
            say "comfyui ended with code $(state comfyui State.ExitCode) after $((SECONDS - began)) s"
        fi
    else
        say "$NAME does not run"
    fi
    # The profile's services too, whether or not it is asked for this time.
    local options=(--remove-orphans) volumes
    if [[ ${1:-} == --volumes ]]; then options+=(--volumes); fi
    compose --profile ollama down "${options[@]}" >"$WORK/down.log" 2>&1 || {
        cat "$WORK/down.log" >&2
        die "compose could not remove the stack"
    }
    remove_inside
    volumes=$(engine volume ls --quiet --filter "label=com.docker.compose.project=$NAME" | tr '\n' ' ')
    if [[ ${1:-} == --volumes ]]; then
        [[ -z $volumes ]] || die "volumes are left: $volumes"
        say "its volumes are removed"
    elif [[ -n $volumes ]]; then
        say "volumes stay: ${volumes% }; 'scripts/up.sh down --volumes' removes them"
    fi
}

case "${1:-up} ${2:-}" in
'-h '* | '--help '*)
    usage
    exit
    ;;
'up ' | 'status ' | 'logs '* | 'down ' | 'down --volumes') ;;
*)
    usage >&2
    exit 2
    ;;
esac
[[ $NAME =~ ^[a-z0-9][a-z0-9_-]*$ ]] || die "STACK_NAME=$NAME: expected small letters, digits, - and _"
[[ $WAIT =~ ^[0-9]+$ ]] || die "STACK_WAIT=$WAIT: expected seconds"
[[ ${UI_PORT:-8188} =~ ^[0-9]{1,5}$ ]] || die "UI_PORT=$UI_PORT: expected a port"
STARTING='' SAID=/dev/null PODMAN_SERVICE=''
WORK=$(mktemp -d)
trap 'end_service; rm -rf "$WORK"' EXIT
pick_engine
case ${1:-up} in
status) status ;;
logs) logs "${2:-}" ;;
up)
    find_compose
    up
    ;;
down)
    find_compose
    down "${2:-}"
    ;;
esac
