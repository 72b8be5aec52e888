# shellcheck shell=bash
# The engine and compose, and what runs on them. Sourced by scripts/up.sh, never run.

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
    [[ $KIND != podman ]] || die "$version as root does not isolate ComfyUI from this machine: run Podman as an ordinary user, or use Docker"
    if [[ $KIND == rootless-* ]]; then
        say "engine: $version, rootless: container root is $(id -un) on this machine"
    else
        say "engine: $version, rootful: container root is root on this machine (to change that: scripts/setup_rootless.sh)"
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
        say "this engine sets no limits on memory and processes (a rootless one needs cgroup v2 and delegation): reported, not required"
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
