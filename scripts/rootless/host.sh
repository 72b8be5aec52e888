# shellcheck shell=bash
# The steps that make the host ready: look_STEP reads, make_STEP changes. Sourced, never run.

look_system() {
    local name kind=native
    name=$(os_release PRETTY_NAME)
    if is_wsl2; then kind=WSL2; fi
    case " $(os_release ID) $(os_release ID_LIKE) " in
    *" debian "* | *" ubuntu "*) there "${name:-Linux}, $kind, cgroup v$(cgroup_version)" ;;
    *) conflict "${name:-an unknown system}" "this script knows Ubuntu and Debian: elsewhere follow https://docs.docker.com/go/rootless/" ;;
    esac
}

look_desktop() {
    local why
    why=$(desktop_runs)
    if [[ -z $why ]]; then
        there "Docker Desktop does not run here"
    elif is_wsl2; then
        conflict "Docker Desktop runs: $why" "two engines would take turns at the socket and at docker's contexts:\
 in Docker Desktop, Settings > Resources > WSL integration, switch $(os_release NAME) off and apply (or quit Docker Desktop),\
 then open a new terminal"
    else
        conflict "Docker Desktop runs: $why" "two engines would take turns at docker's contexts: systemctl --user disable --now docker-desktop"
    fi
}

look_rootful() {
    local path remap
    path=$(writable_rootful_socket)
    remap=$(grep -c userns-remap "$(at /etc/docker/daemon.json)" 2>/dev/null) || true
    # Docker Desktop's own socket is the next step's matter.
    if [[ -n $path && -z $(desktop_runs) ]]; then
        if $STOP_ROOTFUL; then
            missing "a rootful engine's socket, $path, can be written by you" \
                "the rootful engine is to be disabled; its containers end"
        elif $BESIDE_ROOTFUL; then
            note "a rootful engine stays beside, and you are root by its socket $path" \
                "sudo gpasswd -d $(id -un) docker, and log in again, when you no longer need it"
        else
            conflict "a rootful engine's socket, $path, can be written by you: whoever can do that is root" \
                "--stop-rootful disables that engine, --beside-rootful leaves it; or: sudo gpasswd -d $(id -un) docker, and log in again"
        fi
    elif [[ " $(id -Gn) " == *' docker '* ]]; then
        note "you are in the group docker, which is root wherever a rootful engine runs" "sudo gpasswd -d $(id -un) docker"
    elif ((${remap:-0} > 0)); then
        note "the rootful engine has userns-remap" "it does nothing to a rootless engine, and its images stay with it"
    else
        there "no rootful engine that you could use"
    fi
}
make_rootful() {
    local path
    systemd_runs || die "the rootful engine runs without systemd: end it as you started it, then run this again"
    path=$(at "$(writable_rootful_socket)")
    remember undo rootful
    as_root systemctl disable --now docker.service docker.socket
    # systemd leaves the file, and the setup tool refuses at its sight.
    as_root rm -f "$path"
}
undo_rootful() { as_root systemctl enable --now docker.socket docker.service; }

look_shadow() {
    local name value where
    there "no DOCKER_HOST or DOCKER_CONTEXT in the way"
    for name in HOST CONTEXT; do
        value=SHADOW_$name
        [[ -n ${!value} && ${!value} != "unix://$(socket)" && ${!value} != rootless ]] || continue
        where=$(set_where "DOCKER_$name")
        conflict "DOCKER_$name=${!value} would send docker to another engine" "unset DOCKER_$name${where:+, and take it out of $where}"
    done
}

look_home() {
    local directory=${DATA_ROOT:-$(data_root)} type
    type=$(filesystem_of "$directory")
    if is_remote "$type"; then
        conflict "$directory is on $type, which cannot hold a rootless engine's files" "--data-root DIR with a directory of yours on a local disk"
    elif [[ -n $DATA_ROOT && $(data_root) != "$DATA_ROOT" ]]; then
        missing "images and volumes are to lie in $DATA_ROOT" "data-root in $(daemon_json)"
    else
        there "images and volumes in $directory ($type)"
    fi
}
make_home() {
    make_directory "$DATA_ROOT"
    edit_json "$(daemon_json)" 'data["data-root"] = sys.argv[2]' "$DATA_ROOT"
    if engine_is_rootless; then restart_engine; fi
}

# Docker Desktop's helper is not there without it, and every pull fails on it.
look_credentials() {
    local file=$HOME/.docker/config.json
    if grep -qE '"credsStore"[[:space:]]*:[[:space:]]*"desktop(\.exe)?"' "$file" 2>/dev/null; then
        missing "$file names Docker Desktop's credential store" "the line has to go; log in again where you need to"
    else
        there "no credential store of Docker Desktop"
    fi
}
make_credentials() { edit_json "$HOME/.docker/config.json" 'data.pop("credsStore", None)'; }

# edit_json FILE PYTHON [ARGUMENT]: changes `data`, the file's object.
edit_json() {
    local file=$1 code=$2 text mode=0644
    shift 2
    text=$(python3 -c "
import json, os, sys
data = json.load(open(sys.argv[1])) if os.path.exists(sys.argv[1]) else {}
$code
print(json.dumps(data, indent=4))" "$file" "$@") || die "$file cannot be changed: is it JSON?"
    if [[ -e $file ]]; then mode=$(stat -c %a "$file"); fi
    put "$file" "$mode" <<<"$text"
}

# COMMAND:PACKAGE of what has to be there.
wanted_packages() {
    if [[ $(dpkg-query -W -f '${Status}' docker-ce 2>/dev/null) == *' installed' ]]; then
        printf '%s\n' docker:docker-ce-cli dockerd-rootless.sh:docker-ce-rootless-extras rootlesskit:docker-ce-rootless-extras
    else
        printf '%s\n' dockerd:docker.io dockerd-rootless.sh:docker.io rootlesskit:rootlesskit
        # A package of its own since Debian 13.
        if apt-cache show docker-cli >/dev/null 2>&1; then printf '%s\n' docker:docker-cli; else printf '%s\n' docker:docker.io; fi
    fi
    printf '%s\n' newuidmap:uidmap slirp4netns:slirp4netns iptables:iptables python3:python3
    if systemd_runs; then printf '%s\n' /usr/lib/systemd/user/dbus.socket:dbus-user-session; fi
    # Overlay in a user namespace came with 5.11.
    kernel_at_least 5.11 || printf '%s\n' fuse-overlayfs:fuse-overlayfs
    if [[ -n $(gpu) ]] && can_install_toolkit; then printf '%s\n' nvidia-ctk:nvidia-container-toolkit; fi
}

missing_packages() {
    local pair command
    for pair in $(wanted_packages); do
        command=${pair%%:*}
        if [[ $command == /* ]]; then [[ -e $(at "$command") ]]; else type -P "$command" >/dev/null; fi || printf '%s\n' "${pair##*:}"
    done | sort -u | tr '\n' ' '
}

look_packages() {
    local packages
    packages=$(missing_packages)
    if [[ -n $packages ]]; then missing "not installed: ${packages% }" "sudo apt-get install ${packages% }"; else there "every program is installed"; fi
}
make_packages() {
    local packages package
    read -ra packages <<<"$(missing_packages)"
    as_root apt-get update || warn "apt-get update failed; going on with the lists that are there"
    # --no-remove: rather fail than take away something that nobody offered.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends --no-remove "${packages[@]}"
    for package in "${packages[@]}"; do remember packages "$package"; done
    # bash remembers where a program was, and where it was not; Debian's scripts may have come just now.
    hash -r
    PATH=$ORIGINAL_PATH
    prepare_environment
}
added_packages() { tr '\n' ' ' <"$RECORD/packages" | sed 's/ $//'; }
remove_packages() {
    local packages
    read -ra packages <<<"$(added_packages)"
    ((${#packages[@]} > 0)) || return 0
    as_root env DEBIAN_FRONTEND=noninteractive apt-get remove -y "${packages[@]}"
    $DRY_RUN || : >"$RECORD/packages"
}

look_kernel() {
    if [[ $(cat "$(at /proc/sys/kernel/unprivileged_userns_clone)" 2>/dev/null) == 0 ]]; then
        missing "kernel.unprivileged_userns_clone is 0: no user may make a user namespace" "it has to be 1"
    elif [[ $(cat "$(at /proc/sys/user/max_user_namespaces)" 2>/dev/null) == 0 ]]; then
        missing "user.max_user_namespaces is 0" "it has to be more"
    elif [[ ! -r $(at /dev/net/tun) || ! -w $(at /dev/net/tun) ]]; then
        conflict "you cannot open /dev/net/tun, which every container's network needs" \
            "sudo chmod 0666 /dev/net/tun, and find out who closed it: 0666 is what the kernel and udev give it"
    else
        there "users may make user namespaces and open /dev/net/tun"
    fi
}
make_kernel() {
    local file
    file=$(at /etc/sysctl.d/90-takumi-rootless.conf)
    {
        if [[ -e $(at /proc/sys/kernel/unprivileged_userns_clone) ]]; then printf 'kernel.unprivileged_userns_clone = 1\n'; fi
        # The number of Docker's own setup tool.
        if [[ $(cat "$(at /proc/sys/user/max_user_namespaces)") == 0 ]]; then printf 'user.max_user_namespaces = 28633\n'; fi
    } | put "$file" 0644
    as_root sysctl --load "$file"
}

look_subids() {
    local file range
    for file in subuid subgid; do
        for range in $(subids "$file" mine); do
            if taken_ids | overlaps "$range"; then
                conflict "ids of $range in /etc/$file, yours, are another user's as well: what your containers may touch would be theirs" \
                    "sudo sed -i 's/^$(subid_line "$range")\$/$(subid_line "$(free_range)")/' /etc/$file   (what lies in $(data_root) keeps the old ids)"
                return
            fi
        done
    done
    for file in subuid subgid; do
        if (($(subid_count "$file") < 65536)); then
            range=$(free_range)
            missing "you have $(subid_count "$file") ids in /etc/$file, containers need 65536" "$range is free"
            return
        fi
    done
    there "subordinate ids: $(subids subuid mine | tr '\n' ' ')"
}
make_subids() {
    local range file options=()
    range=$(free_range)
    [[ -n $range ]] || die "there is no free range of 65536 ids in /etc/subuid and /etc/subgid"
    for file in subuid subgid; do
        (($(subid_count "$file") < 65536)) || continue
        back_up "$(at "/etc/$file")"
        # usermod wants a file to be there.
        [[ -e $(at "/etc/$file") ]] || as_root touch "$(at "/etc/$file")"
        options+=("--add-${file}s" "$range")
        remember undo "subids $file $range"
    done
    as_root usermod "${options[@]}" "$(id -un)"
}
subid_line() { printf '%s:%d:%d\n' "$(id -un)" "${1%-*}" $((${1#*-} - ${1%-*} + 1)); }
# The one line, and not the file as it was: others may have got ids since. Not by `usermod --del-subuids`, which refuses as long as a
# process of the user runs, this script for one.
undo_subids() {
    local file entry
    file=$(at "/etc/$1")
    entry=$(entry_of "$file")
    if subids "$1" mine | grep -qx -- "$2"; then as_root sed -i "/^$(subid_line "$2")\$/d" "$file"; fi
    if $DRY_RUN || [[ -z $entry ]]; then return; fi
    if [[ -e $entry/before ]] && ! cmp -s "$file" "$entry/before"; then
        say "  $file has lost your range again; what else differs from before install is not this script's doing"
    elif [[ ! -e $entry/before && ! -s $file ]]; then
        as_root rm "$file"
    fi
    rm -r "$entry"
}

look_apparmor() {
    local path
    path=$(rootlesskit_path)
    if ! userns_is_restricted; then
        there "AppArmor does not restrict user namespaces"
    elif has_profile "$path" || rootlesskit_works; then
        there "AppArmor lets $path make user namespaces"
    else
        missing "AppArmor keeps $path from making user namespaces" "a profile for this one program; the protection stays on"
        mine "$path" && REMEDY+=" (you can write $path, so everything that runs as you could take its place: a package's is better)"
        return 0
    fi
}
make_apparmor() {
    local path name file abi=3.0
    path=$(rootlesskit_path)
    # AppArmor's own way to name a file after a path.
    name=${path#/}
    file=$(at "/etc/apparmor.d/${name//\//.}")
    if [[ -e $(at /etc/apparmor.d/abi/4.0) ]]; then abi=4.0; fi
    put "$file" 0644 <<EOF
abi <abi/$abi>,
include <tunables/global>

"$path" flags=(unconfined) {
  userns,

  include if exists <local/${name//\//.}>
}
EOF
    remember undo "apparmor $path"
    as_root apparmor_parser --replace "$file"
}
# The file is gone by now; the kernel's copy is not.
undo_apparmor() {
    # The words are for the shell that sudo starts.
    # shellcheck disable=SC2016
    if userns_is_restricted; then
        as_root sh -c 'printf %s "$1" >/sys/kernel/security/apparmor/.remove' sh "$1" ||
            warn "the profile of $1 goes with the next start of the machine"
    fi
}

look_systemd() {
    if systemd_runs; then
        there "systemd runs"
    elif is_wsl2; then
        missing "systemd is off in this distribution" "systemd=true in /etc/wsl.conf, and a restart of WSL"
    else
        note "no systemd: this script starts the engine itself, and nothing does after a restart of the machine" \
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

# The setup tool's own check finds only a module that is loaded, or built in and listed; whether the rules work is what counts.
iptables_works() { rootlesskit unshare --net iptables -t nat -L >/dev/null 2>&1; }
ip_tables_is_listed() {
    grep -qs ip_tables "$(at /proc/modules)" ||
        grep -qs ip_tables "$(at "/lib/modules/$(<"$(at /proc/sys/kernel/osrelease)")/modules.builtin")"
}

look_iptables() {
    if ! rootlesskit_works; then
        note "not to be seen before rootlesskit works" "install looks then, and loads the kernel's modules if it must"
    elif iptables_works; then
        there "iptables works in a namespace of your own"
    else
        missing "iptables does not work in a namespace of your own: containers would have no way out" "the kernel's modules for it"
    fi
}
make_iptables() {
    put "$(at /etc/modules-load.d/takumi-rootless.conf)" 0644 <<<'ip_tables
iptable_nat'
    as_root modprobe --all ip_tables iptable_nat
}

CONTROLLERS='cpu cpuset io memory pids'
look_delegation() {
    local controller given lacking=() file=/etc/systemd/system/user@.service.d/delegate.conf
    if [[ $(cgroup_version) == 1 ]]; then
        note "cgroup v1: --memory, --cpus and --pids-limit have no effect in a rootless engine" "$(unified_words)"
        return
    elif ! systemd_runs; then
        note "without systemd nobody hands cgroup controllers to you: limits have no effect" ""
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
        ((SECONDS < deadline)) || die "$XDG_RUNTIME_DIR does not appear: log in as $(id -un) anew (not by su or sudo), and run this again"
        sleep 0.1
    done
}
undo_linger() { as_root loginctl disable-linger "$(id -un)"; }
