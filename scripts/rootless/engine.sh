# shellcheck shell=bash
# The engine itself: Docker's setup tool under systemd, a process of its own without. Sourced, never run.

# docker sent to the rootless engine, whatever the context says.
rootless_docker() { DOCKER_HOST=unix://$(socket) docker "$@"; }

engine_is_rootless() { [[ $(rootless_docker info --format '{{json .SecurityOptions}}' 2>/dev/null) == *name=rootless* ]]; }

config_home() { printf '%s\n' "${XDG_CONFIG_HOME:-$HOME/.config}"; }
daemon_json() { printf '%s\n' "$(config_home)/docker/daemon.json"; }
data_root() {
    local set
    set=$(sed -n 's/.*"data-root"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' "$(daemon_json)" 2>/dev/null) || true
    printf '%s\n' "${set:-${XDG_DATA_HOME:-$HOME/.local/share}/docker}"
}

# The setup tool looks for docker beside dockerd-rootless.sh and writes that directory into the unit. Debian has them apart.
LINKS=${XDG_DATA_HOME:-$HOME/.local/share}/takumi-rootless/bin
tools_lie_apart() {
    local directory
    directory=$(dirname "$(type -P dockerd-rootless.sh || printf '/usr/bin/x')")
    [[ ! -x $directory/docker || ! -x $directory/dockerd-rootless-setuptool.sh ]]
}
tools_path() { if tools_lie_apart; then printf '%s\n' "$LINKS:$PATH"; else printf '%s\n' "$PATH"; fi; }

start_words() { printf 'XDG_RUNTIME_DIR=%q PATH=%q setsid dockerd-rootless.sh\n' "$XDG_RUNTIME_DIR" "$PATH"; }

# `docker context show` is not in Debian 12's docker.
current_context() { docker context inspect --format '{{.Name}}' 2>/dev/null; }

look_engine() {
    local context
    if systemd_runs && ! systemctl --user is-enabled --quiet docker.service; then
        missing "the rootless engine is not set up" "dockerd-rootless-setuptool.sh install"
    elif ! engine_is_rootless; then
        missing "no rootless engine answers at $(socket)" "it must be started"
    elif context=$(current_context) && [[ $context != rootless ]]; then
        missing "docker's current context is ${context:-default}" "docker context use rootless"
    else
        there "a rootless engine answers at $(socket)"
    fi
}
make_engine() {
    $DRY_RUN || rootlesskit_works || die "rootlesskit cannot create a user namespace: $(rootlesskit true 2>&1 | tail -n 1)"
    if tools_lie_apart; then make_links; fi
    make_directory "$HOME/.docker"
    # docker's contexts are stored here and below.
    back_up "$HOME/.docker/config.json"
    make_directory "$(config_home)/systemd/user"
    # The engine's own key lies there.
    make_directory "$(config_home)/docker"
    remember undo engine
    run_setup_tool install
    if ! systemd_runs; then
        [[ -n $(engine_pid) ]] || start_engine
    elif ! $DRY_RUN; then
        await_engine '' ''
    fi
}

make_links() {
    local program
    make_directory "$LINKS"
    for program in docker dockerd-rootless.sh dockerd-rootless-setuptool.sh; do
        back_up "$LINKS/$program"
        run ln -sf "$(PATH=${PATH//"$LINKS:"/} type -P "$program" || printf '%s' "$DEBIAN_SCRIPTS/$program")" "$LINKS/$program"
    done
}

run_setup_tool() {
    local options=()
    # --skip-iptables also makes the tool add --iptables=false, and containers would have no network. The engine is started without
    # that word: by the drop-in under systemd, by start_engine elsewhere.
    if ! ip_tables_is_listed; then
        options+=(--skip-iptables)
        if [[ $1 == install ]] && systemd_runs; then
            put "$(config_home)/systemd/user/docker.service.d/iptables.conf" 0644 <<EOF
[Service]
ExecStart=
ExecStart=$(PATH=$(tools_path) type -P dockerd-rootless.sh)
EOF
        fi
    fi
    if $BESIDE_ROOTFUL || [[ $1 == uninstall ]]; then options+=(--force); fi
    quietly env PATH="$(tools_path)" XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR" dockerd-rootless-setuptool.sh "${options[@]}" "$1"
}

# The tool advises what this script does next, and some of it is not right here: its words are shown only when it fails.
quietly() {
    local words
    show "$@"
    if $DRY_RUN; then return; fi
    words=$(mktemp)
    if ! "$@" >"$words" 2>&1 </dev/null; then
        cat "$words" >&2
        rm -f "$words"
        return 1
    fi
    rm -f "$words"
}

pid_file() { printf '%s\n' "$XDG_RUNTIME_DIR/takumi-rootless.pid"; }

# Without systemd: a process that outlives this script, in a session of its own, with a log.
start_engine() {
    local log=$RECORD/dockerd.log pid
    say "  + $(start_words) >$log 2>&1 &"
    if $DRY_RUN; then return; fi
    mkdir -p "$XDG_RUNTIME_DIR"
    chmod 700 "$XDG_RUNTIME_DIR"
    setsid dockerd-rootless.sh >"$log" 2>&1 </dev/null &
    pid=$!
    printf '%s\n' "$pid" >"$(pid_file)"
    await_engine "$pid" "$log"
    say "  the engine is process $pid, its log is $log; to stop it: kill $pid"
}

await_engine() {
    local deadline=$((SECONDS + 60))
    until engine_is_rootless; do
        [[ -z $1 ]] || kill -0 "$1" 2>/dev/null || die "the engine exited during startup: $(tail -n 3 "$2" | tr '\n' ' ')"
        ((SECONDS < deadline)) || die "the engine does not answer within 60 s: see ${2:-journalctl --user --unit docker}"
        sleep 0.1
    done
}

restart_engine() {
    if systemd_runs; then
        run systemctl --user restart docker.service
        # The unit of Docker 20.10 does not say when it is ready.
        $DRY_RUN || await_engine '' ''
    else
        stop_engine
        start_engine
    fi
}

# The pid of the engine that start_engine started, unless another process has the number by now.
engine_pid() {
    local pid
    pid=$(cat "$(pid_file)" 2>/dev/null) || return 0
    if [[ -O /proc/$pid ]] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q dockerd-rootless; then printf '%s\n' "$pid"; fi
}

stop_engine() {
    local pid deadline=$((SECONDS + 60))
    pid=$(engine_pid)
    if [[ -n $pid ]]; then
        run kill "$pid"
        while ! $DRY_RUN && kill -0 "$pid" 2>/dev/null; do
            ((SECONDS < deadline)) || die "the engine (process $pid) does not stop"
            sleep 0.1
        done
    fi
    if [[ -e $(pid_file) ]]; then run rm "$(pid_file)"; fi
}

# The unit and the context are the tool's to remove. The data stay.
remove_engine() {
    local config=$HOME/.docker/config.json was
    grep -qx engine "$RECORD/undo" && type -P dockerd-rootless-setuptool.sh >/dev/null || return 0
    systemd_runs || stop_engine
    was=$(checksum "$config")
    run_setup_tool uninstall || warn "the setup tool's uninstall failed; continuing"
    # The tool sets the context to default: a change of ours, unless somebody had changed the file before.
    if ! $DRY_RUN && [[ $was == "$(cat "$(entry_of "$config")/after" 2>/dev/null)" ]]; then
        printf '%s\n' "$config" >"$RECORD/touched"
        seal
    fi
    if ! $DRY_RUN; then rm -f "$RECORD/dockerd.log"; fi
    # What the engine left of sockets and names, and the directories of docker's contexts.
    if [[ $XDG_RUNTIME_DIR == "$HOME/.docker/run" ]]; then run rootlesskit rm -rf "$XDG_RUNTIME_DIR"; fi
    if [[ -d $HOME/.docker/contexts ]]; then run find "$HOME/.docker/contexts" -type d -empty -delete; fi
}
undo_engine() { if systemd_runs; then run systemctl --user daemon-reload; fi; }

# Files of subordinate ids are the user's to delete only inside the namespace.
remove_data() { run rootlesskit rm -rf "$(data_root)" "$(config_home)/docker/key.json"; }
