# shellcheck shell=bash
# Waiting until all is healthy, and giving up where waiting leads nowhere. Sourced by scripts/up.sh, never run.

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
    say "unknown, and it was started again"
}

give_up() {
    local service
    warn "$1"
    if [[ -s $SAID ]]; then cut -c 1-500 "$SAID" | sed 's/^/compose: /' >&2; fi
    if grep -qi 'overlap' "$SAID"; then
        warn "another network already uses the stack's addresses: set INSIDE_SUBNET=10.N.N.0/24"
    fi
    for service in "${SERVICES[@]}"; do show_log "$service" --tail 40 >&2; done
    exit 1
}

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
