# shellcheck shell=bash
# The steps that ask the kernel for something: look_STEP reads, make_STEP changes, undo_STEP takes back. Sourced, never run.

look_kernel() {
    if [[ $(cat "$(at /proc/sys/kernel/unprivileged_userns_clone)" 2>/dev/null) == 0 ]]; then
        missing "kernel.unprivileged_userns_clone is 0: users cannot create user namespaces" "it must be 1"
    elif [[ $(cat "$(at /proc/sys/user/max_user_namespaces)" 2>/dev/null) == 0 ]]; then
        missing "user.max_user_namespaces is 0" "it must be greater"
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
                conflict "ids of $range in /etc/$file, yours, also belong to another user: your containers could access that user's files" \
                    "sudo sed -i 's/^$(subid_line "$range")\$/$(subid_line "$(free_range)")/' /etc/$file   (what lies in $(data_root) keeps the old ids)"
                return
            fi
        done
    done
    for file in subuid subgid; do
        if (($(subid_count "$file") < 65536)); then
            range=$(free_range)
            missing "you have $(subid_count "$file") ids in /etc/$file, but containers need 65536" "$range is free"
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
        say "  your range is removed from $file; other differences from before install are not from this script"
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
        missing "AppArmor keeps $path from creating user namespaces" "a profile for this one program; the protection stays on"
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
            warn "the profile of $1 is removed at the next reboot"
    fi
}

# The setup tool's own check finds only a module that is loaded, or built in and listed; whether the rules work is what counts.
iptables_works() { rootlesskit unshare --net iptables -t nat -L >/dev/null 2>&1; }
ip_tables_is_listed() {
    grep -qs ip_tables "$(at /proc/modules)" ||
        grep -qs ip_tables "$(at "/lib/modules/$(<"$(at /proc/sys/kernel/osrelease)")/modules.builtin")"
}

look_iptables() {
    if ! rootlesskit_works; then
        note "cannot be checked before rootlesskit works" "install checks it then, and loads kernel modules if needed"
    elif iptables_works; then
        there "iptables works in a namespace of your own"
    else
        missing "iptables does not work in a namespace of your own: containers would have no network" "the kernel's modules for it"
    fi
}
make_iptables() {
    put "$(at /etc/modules-load.d/takumi-rootless.conf)" 0644 <<<'ip_tables
iptable_nat'
    as_root modprobe --all ip_tables iptable_nat
}
