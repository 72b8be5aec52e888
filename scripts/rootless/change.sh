# shellcheck shell=bash
# Every change goes through here: shown, backed up, recorded, undone by uninstall. Sourced, never run.
#
# What is recorded lies in RECORD: files/N/ (path, before: the file as it was, if it was there; owner: mode, uid and gid of it;
# after: the checksum that install left), touched (files whose checksum is to be taken), directories (those that install made),
# packages, undo (words for undo_*).

# shellcheck disable=SC2034  # Some of these are for the other files.
RECORD=${XDG_STATE_HOME:-$HOME/.local/state}/takumi-rootless

consent() {
    say "$1"
    if $DRY_RUN || $YES; then return; fi
    [[ -t 0 ]] || die "no terminal to ask on: add --yes, or --dry-run to see every command"
    local answer
    read -rp "Go on? [y/N] " answer
    [[ $answer == [yY]* ]] || die "nothing was changed"
}

# at PATH: where a path of the machine lies. ROOTLESS_ROOT is the tests' knob: a directory that is looked at, and changed, in place of /.
at() { printf '%s\n' "${ROOTLESS_ROOT:-}$1"; }

show() { printf '  +%s\n' "$(printf ' %q' "$@")"; }

# run COMMAND...: shows it, and runs it unless this is a dry run.
run() {
    show "$@"
    $DRY_RUN || "$@" </dev/null
}

as_root() {
    $DRY_RUN || type -P sudo >/dev/null || die "sudo is missing: as root, run$(printf ' %q' "$@")   and then this again"
    run sudo "$@"
}

begin_journal() {
    $DRY_RUN && return
    mkdir -p "$RECORD/files"
    touch "$RECORD/directories" "$RECORD/packages" "$RECORD/undo"
    # A step that fails half way has changed files too.
    trap seal EXIT
}

has_journal() { [[ -d $RECORD ]]; }

end_journal() {
    if [[ -n $(ls "$RECORD/files") ]]; then
        say "what was not restored stays in $RECORD/files"
    else
        rm -r "$RECORD"
    fi
}

# remember LIST LINE: once.
remember() {
    $DRY_RUN && return
    grep -qxF -- "$2" "$RECORD/$1" || printf '%s\n' "$2" >>"$RECORD/$1"
}

mine() { [[ $1 == "$HOME"/* || $1 == "${XDG_RUNTIME_DIR:-/nonexistent}"/* ]]; }
by_owner_of() {
    local path=$1
    shift
    if mine "$path"; then run "$@"; else as_root "$@"; fi
}

# back_up FILE: once for all runs of install, however often it is changed.
back_up() {
    local file=$1 entry number=0
    $DRY_RUN && return
    printf '%s\n' "$file" >>"$RECORD/touched"
    entry=$(entry_of "$file")
    [[ -z $entry ]] || return 0
    while [[ -e $RECORD/files/$number ]]; do number=$((number + 1)); done
    entry=$RECORD/files/$number
    mkdir "$entry"
    if [[ -e $file ]]; then
        cp "$file" "$entry/before"
        stat -c '%a %u %g' "$file" >"$entry/owner"
    fi
    printf '%s\n' "$file" >"$entry/path"
}

entry_of() {
    local path
    for path in "$RECORD"/files/*/path; do
        [[ -e $path && $(<"$path") == "$1" ]] && dirname "$path"
    done
    return 0
}

checksum() { if [[ -L $1 ]]; then readlink "$1"; elif [[ -e $1 ]]; then sha256sum <"$1"; else printf 'none\n'; fi; }

# What install itself left in a file; anything else at uninstall is somebody's later change.
seal() {
    local file
    [[ -e $RECORD/touched ]] || return 0
    while read -r file; do checksum "$file" >"$(entry_of "$file")/after"; done <"$RECORD/touched"
    rm "$RECORD/touched"
}

make_directory() {
    local directory=$1
    [[ ! -d $directory ]] || return 0
    make_directory "$(dirname "$directory")"
    by_owner_of "$directory" mkdir "$directory"
    remember directories "$directory"
}

# put FILE MODE: writes stdin there as root, or as this user below the home directory.
put() {
    local file=$1 mode=$2 text
    text=$(mktemp)
    cat >"$text"
    back_up "$file"
    make_directory "$(dirname "$file")"
    say "  $file:"
    sed 's/^/  | /' "$text"
    by_owner_of "$file" install -m "$mode" "$text" "$file"
    rm -f "$text"
}

restore_all() {
    local entry word directory
    # The last change first.
    while read -r entry; do restore "$entry"; done < <(printf '%s\n' "$RECORD"/files/* | sort -rV)
    while read -r -u 3 word; do
        # The words are a function's name and its arguments.
        # shellcheck disable=SC2086
        undo_$word
    done 3< <(tac "$RECORD/undo")
    while read -r directory; do
        if [[ -d $directory && -z $(ls -A "$directory") ]]; then by_owner_of "$directory" rmdir "$directory"; fi
    done < <(tac "$RECORD/directories")
    $DRY_RUN || : >"$RECORD/undo"
}

restore() {
    local entry=$1 file mode uid gid
    [[ -d $entry ]] || return 0
    file=$(<"$entry/path")
    # undo_subids
    if [[ $file == "$(at /etc/subuid)" || $file == "$(at /etc/subgid)" ]]; then return; fi
    if [[ $(checksum "$file") == $(checksum "$entry/before") ]]; then
        :
    elif [[ $(checksum "$file") != "$(cat "$entry/after" 2>/dev/null)" ]]; then
        warn "$file was changed after install and is left as it is;" \
            "before install it was: $(if [[ -e $entry/before ]]; then printf '%s' "$entry/before"; else printf 'not there'; fi)"
        return
    elif [[ -e $entry/before ]]; then
        read -r mode uid gid <"$entry/owner"
        if mine "$file"; then
            run install -m "$mode" "$entry/before" "$file"
        else
            as_root install -m "$mode" -o "$uid" -g "$gid" "$entry/before" "$file"
        fi
    else
        by_owner_of "$file" rm "$file"
    fi
    $DRY_RUN || rm -r "$entry"
}
