# shellcheck shell=bash
# The stack on Podman: an API for compose, a network without DNS. Sourced by scripts/up.sh, never run.

# Serves Podman's API for compose, for the time of this script. Compose sends the content of the file that SECCOMP_PROFILE names, and
# Podman takes what it is sent for a path: so the content is one number, which is a file's name in the folder where the service runs.
# What cannot be opened there ends the start; a container that is made keeps the profile itself.
serve_podman() {
    cp "$SECCOMP_PROFILE" "$WORK/1"
    echo 1 >"$WORK/seccomp"
    SECCOMP_PROFILE=$WORK/seccomp
    export DOCKER_HOST=unix://$WORK/podman.sock
    # Without systemd, starting a container with a health check fails on the timer that cannot be made.
    if ! watched; then export DISABLE_HC_SYSTEMD=true; fi
    # The API of Podman 4.3 forgets compose's ulimits; what the service has, its containers inherit.
    (ulimit -c 0 && cd "$WORK" && exec "${ENGINE[@]}" system service --time 0 "$DOCKER_HOST") >"$WORK/podman.log" 2>&1 &
    PODMAN_SERVICE=$!
    local tries=0
    until [[ -S $WORK/podman.sock ]]; do
        kill -0 "$PODMAN_SERVICE" 2>/dev/null || { cat "$WORK/podman.log" >&2; die "'${ENGINE[*]} system service' ended"; }
        ((++tries < 200)) || die "'${ENGINE[*]} system service' creates no socket"
        sleep 0.1
    done
}

# Podman's DNS answers in internal networks too, and asks outside for what it does not know: a name can carry data out. Through compose
# it cannot be switched off, so that the network is made here, without; gateway knows comfyui by its address then.
compose_file_for_podman() {
    COMPOSE_FILE=$WORK/compose.yaml
    INSIDE=${INSIDE_SUBNET:-10.181.88.0/24}
    COMFYUI_ADDRESS=${EGRESS_ADDRESS:-10.181.88.254}
    COMFYUI_ADDRESS=${COMFYUI_ADDRESS%.*}.253
    awk -v network="${NAME}_inside" -v address="$COMFYUI_ADDRESS" '
        /^[a-z]/ { part = $1; item = "" }
        /^  [a-z]+:$/ { item = $1 }
        part == "networks:" && item == "inside:" {
            if (/^  inside:$/) { print; print "    external: true"; print "    name: " network; done++ }
            next
        }
        part == "services:" && item == "comfyui:" && /^      - inside$/ {
            print "      inside:"; print "        ipv4_address: " address; done++
            next
        }
        sub(/UPSTREAM: comfyui:/, "UPSTREAM: " address ":") { done++ }
        { print }
        END { exit done != 3 }
    ' "$ROOT/image/compose.yaml" >"$COMPOSE_FILE" || die "image/compose.yaml does not look as this script expects for Podman"
}

make_inside() {
    engine network exists "${NAME}_inside" ||
        engine network create --internal --disable-dns --subnet "$INSIDE" --ip-range "${INSIDE_RANGE:-10.181.88.0/25}" \
            --label "com.docker.compose.project=$NAME" "${NAME}_inside" >/dev/null || die "cannot create the internal network"
}

remove_inside() {
    if [[ $KIND == *podman ]]; then engine network rm --force "${NAME}_inside" >/dev/null 2>&1 || true; fi
}

watched() { [[ -d /run/systemd/system ]]; }

end_service() {
    if [[ -n ${PODMAN_SERVICE:-} ]]; then
        kill "$PODMAN_SERVICE" 2>/dev/null || true
        wait "$PODMAN_SERVICE" 2>/dev/null || true
    fi
}
