#!/usr/bin/env bash
# Starts ComfyUI behind its shields, image/compose.yaml, on the engine that is there, and shows what is left in it.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/up/podman.sh
source "$ROOT/scripts/up/podman.sh"
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

# Sets ENGINE, and KIND: docker, rootless-docker, podman or rootless-podman. Says which it is.
pick_engine() {
    local socket version
    if [[ -z ${CONTAINER_ENGINE:-}${DOCKER:-} ]]; then
        if docker info >/dev/null 2>&1; then
            CONTAINER_ENGINE=docker
        elif command -v docker >/dev/null && socket=$(rootless_socket); then
            CONTAINER_ENGINE=docker
            export DOCKER_HOST=unix://$socket
        elif podman info >/dev/null 2>&1; then
            CONTAINER_ENGINE=podman
        fi
    fi
    require_engine
    export CONTAINER_ENGINE=${ENGINE[*]}
    version=$(engine --version 2>/dev/null)
    if [[ $version == podman* ]]; then
        KIND=podman
        [[ $(engine info --format '{{.Host.Security.Rootless}}') != true ]] || KIND=rootless-podman
        version="Podman ${version##* }"
    else
        KIND=docker
        [[ $(engine info --format '{{json .SecurityOptions}}') != *name=rootless* ]] || KIND=rootless-docker
        version="Docker $(engine version --format '{{.Server.Version}}')"
    fi
    # Its internal networks have the host in them: whatever the host serves on all its addresses would answer ComfyUI.
    [[ $KIND != podman ]] || die "$version as root does not keep ComfyUI from this machine: run Podman as an ordinary user, or use Docker"
    if [[ $KIND == rootless-* ]]; then
        say "engine: $version, rootless: root in a container is $(id -un) on this machine"
    else
        say "engine: $version, rootful: root in a container is root on this machine (scripts/setup_rootless.sh changes that)"
    fi
}

# The socket of this user's own dockerd, where a login shell did not export it.
rootless_socket() {
    local socket
    for socket in "${XDG_RUNTIME_DIR:-/nowhere}/docker.sock" "$HOME/.docker/run/docker.sock"; do
        if DOCKER_HOST=unix://$socket docker info >/dev/null 2>&1; then
            say "$socket"
            return
        fi
    done
    return 1
}

# Sets COMPOSE, the words that start compose on this engine, and what image/compose.yaml takes from the environment.
find_compose() {
    # An engine that cannot limit memory would be refused for that at every start.
    if ! engine_limits; then
        say "this engine sets no limits of memory and processes (a rootless one needs cgroup v2 and delegation): reported, not required"
        : "${STACK_REQUIRE=seccomp,privileged-container,host-namespaces,runtime-socket,file}"
    fi
    : "${UI_ADDRESS:=127.0.0.1:${UI_PORT:-8188}}" "${IMAGE_PREFIX:=takumi}" "${SECCOMP_PROFILE:=$ROOT/image/seccomp.json}"
    : "${COMFYUI_IMAGE:=$IMAGE_PREFIX-comfyui}" "${EGRESS_IMAGE:=$IMAGE_PREFIX-egress}" "${GATEWAY_IMAGE:=$IMAGE_PREFIX-gateway}"
    # One setting instead of three for whoever needs another network.
    if [[ ${INSIDE_SUBNET:-} == *.0/24 ]]; then
        : "${INSIDE_RANGE:=${INSIDE_SUBNET%.0/24}.0/25}" "${EGRESS_ADDRESS:=${INSIDE_SUBNET%.0/24}.254}"
        export INSIDE_RANGE EGRESS_ADDRESS
    fi
    export UI_ADDRESS IMAGE_PREFIX SECCOMP_PROFILE COMFYUI_IMAGE EGRESS_IMAGE GATEWAY_IMAGE
    if [[ -v STACK_REQUIRE ]]; then export STACK_REQUIRE; fi
    COMPOSE_FILE=$ROOT/image/compose.yaml
    if [[ $KIND == *podman ]]; then
        serve_podman
        compose_file_for_podman
        COMPOSE=(docker compose)
    else
        COMPOSE=("${ENGINE[@]}" compose)
    fi
    if ! "${COMPOSE[@]}" version >/dev/null 2>&1; then
        need docker-compose:docker-compose
        COMPOSE=(docker-compose)
        docker_compose_host
    fi
    COMPOSE+=(--project-name "$NAME" --file "$COMPOSE_FILE")
    if [[ ${VARIANT:-cpu} == gpu ]]; then COMPOSE+=(--file "$ROOT/image/compose.gpu.yaml"); fi
}

engine_limits() {
    if [[ $KIND == *podman ]]; then
        [[ $(engine info --format '{{.Host.CgroupControllers}}') == *memory* ]]
    else
        [[ $(engine info --format '{{.MemoryLimit}} {{.PidsLimit}}') == 'true true' ]]
    fi
}

# docker-compose knows neither the options of CONTAINER_ENGINE nor, in old versions, a context.
docker_compose_host() {
    local host
    if [[ $KIND == *podman || -n ${DOCKER_HOST:-} ]]; then return; fi
    host=$(engine context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null) || return 0
    if [[ $host == unix://* ]]; then export DOCKER_HOST=$host; fi
}

compose() { "${COMPOSE[@]}" "$@" </dev/null; }

# container SERVICE prints its id; nothing where there is none.
container() {
    engine ps --all --quiet --filter "label=com.docker.compose.project=$NAME" --filter "label=com.docker.compose.service=$1" 2>/dev/null |
        sed -n 1p
}

# state SERVICE FIELD, e.g. Running; fails where there is no container.
state() {
    local id
    id=$(container "$1")
    [[ -n $id ]] && engine container inspect --format "{{.$2}}" "$id" 2>/dev/null
}

runs() { [[ $(state "$1" State.Running) == true ]]; }

all_run() {
    local service
    for service in "${SERVICES[@]}"; do runs "$service" || return 1; done
}

any_there() { [[ -n $(container egress)$(container comfyui)$(container gateway) ]]; }

up() {
    if all_run; then
        say "$NAME is running already; 'scripts/up.sh down' ends it"
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
        say "Without systemd Podman runs no health check by itself: from now on nobody watches; 'scripts/up.sh status' looks again."
    fi
}

await() {
    local service=$1 began=$SECONDS told=$SECONDS
    say "waiting for $service to be healthy"
    until healthy "$service"; do
        watch_over
        ((SECONDS - began < WAIT)) || give_up "$service was not healthy within $WAIT s: $(said_by_check "$service")"
        if ((SECONDS - told >= 10)); then
            told=$SECONDS
            say "  $((SECONDS - began)) s of at most $WAIT; its last words: $(last_words "$service")"
        fi
        sleep 0.5
    done
    say "$service is healthy after $((SECONDS - began)) s"
}

# The same check that the engine runs, at once instead of after its interval. Podman keeps the answer of its own command, and compose
# waits for that.
healthy() {
    local id
    id=$(container "$1")
    [[ -n $id ]] && check "$1" "$id" >"$WORK/check-$1" 2>&1
}

check() {
    if [[ $KIND == *podman ]]; then
        engine healthcheck run "$2"
    else
        case $1 in
        egress) engine exec "$2" /etc/egress/healthy ;;
        comfyui) engine exec "$2" /init --check ;;
        gateway) engine exec "$2" /etc/relay/healthy ;;
        esac
    fi
}

said_by_check() { tail -n 1 "$WORK/check-$1" 2>/dev/null || true; }

last_words() {
    local id
    id=$(container "$1")
    if [[ -n $id ]]; then engine logs --tail 1 "$id" 2>&1 | tail -n 1; else say "it is not started yet"; fi
}

# Gives up at once where waiting leads nowhere: a container has ended, or compose has.
watch_over() {
    local service
    for service in "${SERVICES[@]}"; do
        if has_ended "$service"; then give_up "$service ended with code $(code_of "$service")"; fi
    done
    if [[ -n $STARTING ]] && ! kill -0 "$STARTING" 2>/dev/null; then
        wait "$STARTING" || give_up "compose failed"
        STARTING=
    fi
}

# Whether a container has ended, be it that its restart policy started it again. Asked twice: while a busy engine starts one, it may call
# it ended, with code 0.
has_ended() {
    ended_now "$1" && sleep 1 && ended_now "$1"
}

ended_now() {
    local status restarts
    read -r status restarts < <(state "$1" 'State.Status}} {{.RestartCount') || return 1
    [[ $status == restarting || $status == exited || $status == dead || $status == stopped || $restarts != 0 ]]
}

# What was started again does not tell how it ended. It will end again.
code_of() {
    local tries=0 status code
    while ((tries++ < 100)); do
        # Together: a moment later it may run again, and the code is gone.
        read -r status code < <(state "$1" 'State.Status}} {{.State.ExitCode') || true
        if [[ $status != running ]]; then
            say "$code"
            return
        fi
        sleep 0.1
    done
    say "unknown, and was started again"
}

give_up() {
    local service
    warn "$1"
    if [[ -s $SAID ]]; then cut -c 1-500 "$SAID" | sed 's/^/compose: /' >&2; fi
    if grep -qi 'overlap' "$SAID"; then
        warn "another network has the addresses of the stack's: give INSIDE_SUBNET=10.N.N.0/24"
    fi
    for service in "${SERVICES[@]}"; do show_log "$service" --tail 40 >&2; done
    exit 1
}

take_down_again() {
    # A second Ctrl-C must not stop the cleaning.
    trap '' INT TERM HUP
    if [[ -n ${STARTING:-} ]] && kill "$STARTING" 2>/dev/null; then wait "$STARTING" || true; fi
    if any_there; then
        warn "taking the half-started stack down again"
        remove_all || { sleep 2; remove_all; } || { cat "$WORK/down.log" >&2; warn "that failed: see 'scripts/up.sh status'"; }
    fi
    remove_inside
    end_service
    rm -rf "$WORK"
}

# Twice where need be: the engine may still be at what compose had asked for.
remove_all() { compose down --timeout 2 >"$WORK/down.log" 2>&1; }

address() {
    local id
    id=$(container gateway)
    [[ -n $id ]] && engine port "$id" 8188/tcp 2>/dev/null | sed -n 1p
}

await_page() {
    local deadline=$((SECONDS + WAIT))
    until page; do
        watch_over
        ((SECONDS < deadline)) || give_up "there is no page at http://$(address)/ within $WAIT s"
        sleep 0.5
    done
}

# Whether GET / is answered by 200; bash speaks enough HTTP for that, so the host needs no curl. In a shell of its own: the
# connection may be closed while the app is not there yet, and the SIGPIPE of that must end nothing else.
page() (
    where=$(address)
    [[ -n $where ]] || exit 1
    exec 2>/dev/null
    exec 3<>"/dev/tcp/${where%:*}/${where##*:}" || exit 1
    printf 'GET / HTTP/1.0\r\nHost: %s\r\n\r\n' "$where" >&3
    answer=
    IFS= read -r -t 5 answer <&3
    [[ $answer == HTTP/*' 200 '* ]]
)

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
    stand-in) say "This is the stand-in for ComfyUI, behind the same shields: scripts/build.sh had no ComfyUI." ;;
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
        say "stopping $NAME: comfyui has ten seconds for the work that is under way"
        compose stop --timeout 10 >/dev/null 2>&1 || warn "stopping failed; the containers are removed all the same"
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
