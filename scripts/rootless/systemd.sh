# shellcheck shell=bash
# The steps that concern systemd and what it hands to a user. Sourced, never run.

look_systemd() {
    if systemd_runs; then
        there "systemd runs"
    elif is_wsl2; then
        missing "systemd is off in this distribution" "systemd=true in /etc/wsl.conf, and a restart of WSL"
    else
        note "no systemd: this script starts the engine, but nothing starts it after a reboot" \
            "then run scripts/setup_rootless.sh install again"
    fi
}
make_systemd() {
    local file text
    file=$(at /etc/wsl.conf)
    text=$({ cat "$file" 2>/dev/null || true; } | awk '
        /^[[:space:]]*\[/ { boot = /\[boot\]/; print; if (boot && !done) { print "systemd=true"; done = 1 }; next }
        boot && /^[[:space:]]*systemd[[:space:]]*=/ { next }
        { print }
        END { if (!done) print "[boot]\nsystemd=true" }')
    put "$file" 0644 <<<"$text"
    seal
    if $DRY_RUN; then return; fi
    say ""
    say "Half done. In Windows, in PowerShell:   wsl --shutdown"
    say "Then open this distribution again and run the same command."
    exit 3
}

CONTROLLERS='cpu cpuset io memory pids'
look_delegation() {
    local controller given lacking=() file=/etc/systemd/system/user@.service.d/delegate.conf
    if [[ $(cgroup_version) == 1 ]]; then
        note "cgroup v1: --memory, --cpus and --pids-limit have no effect in a rootless engine" "$(unified_words)"
        return
    elif ! systemd_runs; then
        note "without systemd you get no cgroup controllers: limits have no effect" ""
        return
    fi
    given=" $(delegated_controllers) "
    for controller in $CONTROLLERS; do [[ $given == *" $controller "* ]] || lacking+=("$controller"); done
    if ((${#lacking[@]} == 0)); then
        there "cgroup controllers: $CONTROLLERS"
    elif [[ $(cat "$(at "$file")" 2>/dev/null) == "$(delegate_conf)" ]]; then
        note "cgroup controllers not yet yours: ${lacking[*]}; limits on them have no effect" \
            "log out and in again$(if is_wsl2; then printf ' (in Windows: wsl --shutdown)'; fi)"
    else
        missing "cgroup controllers not yours: ${lacking[*]}; limits on them have no effect" "$file"
    fi
}
unified_words() {
    if is_wsl2; then
        printf '%s\n' 'in Windows: wsl --update, or kernelCommandLine=cgroup_no_v1=all under [wsl2] in %UserProfile%\.wslconfig; then wsl --shutdown'
    else
        printf '%s\n' "systemd.unified_cgroup_hierarchy=1 on the kernel's command line"
    fi
}
delegate_conf() { printf '[Service]\nDelegate=%s\n' "$CONTROLLERS"; }
make_delegation() {
    remember undo delegation
    delegate_conf | put "$(at /etc/systemd/system/user@.service.d/delegate.conf)" 0644
    as_root systemctl daemon-reload
}
undo_delegation() { as_root systemctl daemon-reload; }

look_linger() {
    if ! systemd_runs; then
        there "not needed without systemd"
    elif [[ -e $(at "/var/lib/systemd/linger/$(id -un)") ]]; then
        there "your services start with the machine"
    else
        missing "your services end when you log out" "loginctl enable-linger"
    fi
}
make_linger() {
    remember undo linger
    as_root loginctl enable-linger "$(id -un)"
    # It starts this user's systemd where no login has.
    local deadline=$((SECONDS + 30))
    until $DRY_RUN || [[ -d $XDG_RUNTIME_DIR ]]; do
        ((SECONDS < deadline)) || die "$XDG_RUNTIME_DIR does not appear: log in as $(id -un) again (not with su or sudo), then run this again"
        sleep 0.1
    done
}
undo_linger() { as_root loginctl disable-linger "$(id -un)"; }
