# shellcheck shell=bash
# What this machine is: each function reads, below ROOTLESS_ROOT, and changes nothing. Sourced, never run.
# shellcheck disable=SC2034  # Some of what is set here is for the other files.

# What every later function relies on: a full PATH, the place of the socket, no word of another engine in docker's way.
prepare_environment() {
    # apt's words are looked at, in no other language than this.
    export LC_ALL=C
    ORIGINAL_PATH=$PATH
    SHADOW_HOST=${DOCKER_HOST:-} SHADOW_CONTEXT=${DOCKER_CONTEXT:-}
    unset DOCKER_HOST DOCKER_CONTEXT
    # /usr/sbin is on no ordinary user's PATH on Debian, and iptables and dockerd live there. Fixtures bring their own programs.
    if [[ -z ${ROOTLESS_ROOT:-} ]]; then PATH=$PATH:/usr/sbin:/sbin; fi
    # Debian ships these two beside its documentation.
    DEBIAN_SCRIPTS=$(at /usr/share/docker.io/contrib)
    if ! type -P dockerd-rootless.sh >/dev/null && [[ -x $DEBIAN_SCRIPTS/dockerd-rootless.sh ]]; then PATH=$PATH:$DEBIAN_SCRIPTS; fi
    find_runtime_directory
}

# The place of the user's own systemd, whatever the variable says: after su it is another user's, and WSLg sets one of its own.
find_runtime_directory() {
    if systemd_runs; then
        XDG_RUNTIME_DIR=$(at "/run/user/$(id -u)")
        export DBUS_SESSION_BUS_ADDRESS=${DBUS_SESSION_BUS_ADDRESS:-unix:path=$XDG_RUNTIME_DIR/bus}
    elif [[ ! -O ${XDG_RUNTIME_DIR:-} || ! -w $XDG_RUNTIME_DIR ]]; then
        # The setup tool's own choice where nothing else makes one.
        XDG_RUNTIME_DIR=$HOME/.docker/run
    fi
    export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR%/}
}

socket() { printf '%s\n' "$XDG_RUNTIME_DIR/docker.sock"; }

# sd_booted(3)
systemd_runs() { [[ -d $(at /run/systemd/system) ]]; }

is_wsl2() {
    [[ -e $(at /proc/sys/fs/binfmt_misc/WSLInterop) || -e $(at /proc/sys/fs/binfmt_misc/WSLInterop-late) ]] ||
        grep -qi microsoft "$(at /proc/sys/kernel/osrelease)"
}

# Prints a field of os-release, without running the file.
os_release() { sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" "$(at /etc/os-release)" 2>/dev/null || true; }

kernel_at_least() {
    local release
    release=$(<"$(at /proc/sys/kernel/osrelease)")
    at_least "$release" "$1"
}

# at_least VERSION WANTED: by their numbers.
at_least() { [[ $(printf '%s\n%s\n' "$2" "${1%%[!0-9.]*}" | sort -V | sed -n 1p) == "$2" ]]; }

# Whether somebody listens at a path in this network namespace. A socket file alone may be left over.
listens() { grep -q " $1\$" "$(at /proc/net/unix)" 2>/dev/null; }

# Prints why Docker Desktop counts as running here, or nothing.
desktop_runs() {
    local link pid
    for link in /run/docker.sock /var/run/docker.sock; do
        if [[ $(readlink "$(at "$link")" 2>/dev/null) == /mnt/wsl/docker-desktop* ]]; then
            printf '%s leads into /mnt/wsl/docker-desktop\n' "$link"
            return
        fi
    done
    # The proxy of the WSL integration, which newer versions let make the socket itself.
    if pid=$(cat "$(at /run/docker-desktop-proxy.pid)" 2>/dev/null) && [[ -d $(at "/proc/$pid") ]]; then
        printf 'its proxy runs in this distribution as process %s\n' "$pid"
    elif [[ -S $HOME/.docker/desktop/docker.sock ]] && listens "$HOME/.docker/desktop/docker.sock"; then
        printf 'it listens at ~/.docker/desktop/docker.sock\n'
    elif systemd_runs && [[ -e $(at /usr/lib/systemd/user/docker-desktop.service) ]] &&
        systemctl --user is-active --quiet docker-desktop.service; then
        printf 'docker-desktop.service is active\n'
    fi
}

# The rootful engine's socket, if this user can write it: the setup tool refuses then.
writable_rootful_socket() {
    local path
    for path in /run/docker.sock /var/run/docker.sock; do
        if [[ -e $(at "$path") && -w $(at "$path") ]]; then
            printf '%s\n' "$path"
            return
        fi
    done
}

# Where the shell's start files set a variable, as FILE:LINE.
set_where() {
    local found
    found=$(grep -nHE "^[^#]*\b$1=" "$HOME"/.bashrc "$HOME"/.bash_profile "$HOME"/.profile "$HOME"/.zshrc "$HOME"/.zshenv \
        "$HOME"/.config/environment.d/*.conf "$(at /etc/environment)" "$(at /etc/profile.d)"/*.sh 2>/dev/null | cut -d: -f1,2 | tr '\n' ' ') || true
    printf '%s\n' "${found% }"
}

# The type of the file system that holds a directory, by the longest mount point that leads to it.
filesystem_of() {
    awk -v path="$1/" '{
        gsub(/\\040/, " ", $2)
        point = $2 == "/" ? "/" : $2 "/"
        # The later of two mounts on one point lies on top.
        if (index(path, point) == 1 && length(point) >= best) { best = length(point); type = $3 }
    } END { print type }' "$(at /proc/self/mounts)"
}

# Where overlay and subordinate owners do not work.
is_remote() {
    case $1 in
    nfs | nfs4 | cifs | smb3 | smbfs | 9p | drvfs | fuse.sshfs | fuse.s3fs | ceph | fuse.glusterfs | lustre | afs) return 0 ;;
    *) return 1 ;;
    esac
}

# subids FILE mine|others: the ranges START-END of /etc/subuid or /etc/subgid, by the user's name or uid.
subids() {
    awk -F: -v name="$(id -un)" -v uid="$(id -u)" -v whose="$2" '
        /^[^#]/ && $3 > 0 && (($1 == name || $1 == uid) == (whose == "mine")) { printf "%d-%d\n", $2, $2 + $3 - 1 }
    ' "$(at "/etc/$1")" 2>/dev/null || true
}

subid_count() { subids "$1" mine | awk -F- '{ total += $2 - $1 + 1 } END { print total + 0 }'; }

# Those of others, of either file, and the ids of real users and groups: a container's user must be none of them.
taken_ids() {
    subids subuid others
    subids subgid others
    local file
    for file in passwd group; do awk -F: '{ print $3 "-" $3 }' "$(at "/etc/$file")" 2>/dev/null || true; done
    # Users of a directory service; the tests' users all stand in the file.
    if [[ -z ${ROOTLESS_ROOT:-} ]]; then getent passwd | awk -F: '{ print $3 "-" $3 }'; fi
}

overlaps() { awk -F- -v from="${1%-*}" -v to="${1#*-}" '$1 <= to && $2 >= from { found = 1 } END { exit !found }'; }

# The lowest range of 65536 that nobody has, neither as uids nor as gids.
free_range() {
    local start
    start=$(awk '$1 == "SUB_UID_MIN" { print $2 }' "$(at /etc/login.defs)" 2>/dev/null) || true
    { taken_ids; subids subuid mine; subids subgid mine; } | sort -t- -k1,1n | awk -F- -v start="${start:-100000}" '
        $1 <= start + 65535 && $2 >= start { start = $2 + 1 }
        END { if (start + 65535 <= 4294967293) print start "-" start + 65535 }'
}

# 2 unified, 1 otherwise (hybrid included: the controllers are on the old hierarchy there)
cgroup_version() { if [[ -e $(at /sys/fs/cgroup/cgroup.controllers) ]]; then printf '2\n'; else printf '1\n'; fi; }

# The controllers that systemd gives to this user's own manager.
delegated_controllers() {
    cat "$(at "/sys/fs/cgroup/user.slice/user-$(id -u).slice/user@$(id -u).service/cgroup.controllers")" 2>/dev/null || true
}

# The path that AppArmor sees, which is the end of every link.
rootlesskit_path() {
    local path
    path=$(type -P docker-rootlesskit || type -P rootlesskit || printf '/usr/bin/rootlesskit')
    readlink -f "$path" || printf '%s\n' "$path"
}

userns_is_restricted() {
    [[ $(cat "$(at /proc/sys/kernel/apparmor_restrict_unprivileged_userns)" 2>/dev/null) == 1 ]]
}

# Whether a profile is there that lets this path make user namespaces.
has_profile() {
    local file
    for file in "$(at /etc/apparmor.d)"/*; do
        if [[ -f $file ]] && grep -qE "^[[:space:]]*userns\b" "$file" && grep -qE "(^|[[:space:]])\"?$1\"?([[:space:]]|\$)" "$file"; then return; fi
    done
    return 1
}

# rootlesskit's own answer: user namespaces, subordinate ids and AppArmor in one.
rootlesskit_works() { rootlesskit true >/dev/null 2>&1; }

# wsl, native or nothing. /dev/dxg is every maker's; the driver's library is NVIDIA's.
gpu_kind() {
    if is_wsl2; then
        if [[ -e $(at /dev/dxg) ]] && compgen -G "$(at /usr/lib/wsl/lib)/libcuda.so*" >/dev/null; then printf 'wsl\n'; fi
    elif [[ -e $(at /dev/nvidiactl) || -e $(at /proc/driver/nvidia/version) ]]; then
        printf 'native\n'
    fi
}
