# shellcheck shell=bash
# The steps about what is installed and what stands in the way: look_STEP reads, make_STEP changes. Sourced, never run.

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
        conflict "Docker Desktop runs: $why" "two engines would fight over the socket and docker's contexts:\
 in Docker Desktop, Settings > Resources > WSL integration, switch $(os_release NAME) off and apply (or quit Docker Desktop),\
 then open a new terminal"
    else
        conflict "Docker Desktop runs: $why" "two engines would fight over docker's contexts: systemctl --user disable --now docker-desktop"
    fi
}

look_rootful() {
    local path remap
    path=$(writable_rootful_socket)
    remap=$(grep -c userns-remap "$(at /etc/docker/daemon.json)" 2>/dev/null) || true
    # Docker Desktop's own socket is the next step's matter.
    if [[ -n $path && -z $(desktop_runs) ]]; then
        if $STOP_ROOTFUL; then
            missing "you can write to a rootful engine's socket, $path" \
                "the rootful engine is to be disabled; its containers end"
        elif $BESIDE_ROOTFUL; then
            note "a rootful engine stays, and its socket $path makes you root" \
                "sudo gpasswd -d $(id -un) docker, and log in again, when you no longer need it"
        else
            conflict "you can write to a rootful engine's socket, $path, which amounts to root" \
                "--stop-rootful disables that engine, --beside-rootful leaves it; or: sudo gpasswd -d $(id -un) docker, and log in again"
        fi
    elif [[ " $(id -Gn) " == *' docker '* ]]; then
        note "you are in the group docker, which amounts to root wherever a rootful engine runs" "sudo gpasswd -d $(id -un) docker"
    elif ((${remap:-0} > 0)); then
        note "the rootful engine has userns-remap" "a rootless engine ignores it, and its images stay there"
    else
        there "no rootful engine that you could use"
    fi
}
make_rootful() {
    local path
    systemd_runs || die "the rootful engine runs without systemd: stop it the way you started it, then run this again"
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
        conflict "DOCKER_$name=${!value} would send docker to another engine" "unset DOCKER_$name${where:+, and remove it from $where}"
    done
}

look_home() {
    local directory=${DATA_ROOT:-$(data_root)} type
    type=$(filesystem_of "$directory")
    if is_remote "$type"; then
        conflict "$directory is on $type, which cannot store a rootless engine's files" "--data-root DIR with your own directory on a local disk"
    elif [[ -n $DATA_ROOT && $(data_root) != "$DATA_ROOT" ]]; then
        missing "images and volumes are not in $DATA_ROOT yet" "data-root in $(daemon_json)"
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
        missing "$file names Docker Desktop's credential store" "that line must be removed; log in again where needed"
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
    as_root apt-get update || warn "apt-get update failed; continuing with the existing package lists"
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
