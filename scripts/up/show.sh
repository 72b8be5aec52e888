# shellcheck shell=bash
# What a running container holds. Sourced by scripts/up.sh, never run.

# What `init` said at the last start, without the app's words. (Not by --since: Podman notes the start later than the first words.)
start_report() {
    engine logs "$1" 2>&1 | awk '
        /^init: (identity|file|network|gpu|nodes) |^init: [0-9]+ checks pass/ && started { report = ""; started = 0 }
        /^init: / { report = report $0 "\n" }
        /^init: starting / { started = 1 }
        END { printf "%s", report }'
}

# The kernel's words about PID 1 and the app, not theirs.
kernel_words() {
    local id=$1 pid1 app pid each root
    pid1=$(engine exec "$id" cat /proc/1/status)
    # What `init` started first is the app; orphans that it adopts come behind.
    pid=$(engine exec "$id" cat /proc/1/task/1/children)
    pid=${pid%% *}
    [[ -n $pid ]] || die "the app does not run"
    app=$(engine exec "$id" cat "/proc/$pid/status")
    row "" "PID 1" "the app"
    row "program" "$(field Name "$pid1")" "$(field Name "$app") (pid $pid)"
    for each in Uid Gid Groups CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp; do
        row "$each" "$(field "$each" "$pid1")" "$(field "$each" "$app")"
    done
    root=$(root_mount "$id")
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
    engine exec "$1" cat /proc/1/mountinfo |
        while read -r _ _ _ _ point options _; do
            if [[ $point == / ]]; then
                if [[ ,$options, == *,ro,* ]]; then say "read-only"; else say "WRITABLE"; fi
            fi
        done | tail -n 1
}
