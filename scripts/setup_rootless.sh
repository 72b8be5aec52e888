#!/usr/bin/env bash
# From Docker Desktop or a rootful engine to rootless Docker with a GPU, on Ubuntu and Debian, native and under WSL2.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/rootless/change.sh
source "$ROOT/scripts/rootless/change.sh"
# shellcheck source=scripts/rootless/machine.sh
source "$ROOT/scripts/rootless/machine.sh"
# shellcheck source=scripts/rootless/host.sh
source "$ROOT/scripts/rootless/host.sh"
# shellcheck source=scripts/rootless/kernel.sh
source "$ROOT/scripts/rootless/kernel.sh"
# shellcheck source=scripts/rootless/systemd.sh
source "$ROOT/scripts/rootless/systemd.sh"
# shellcheck source=scripts/rootless/engine.sh
source "$ROOT/scripts/rootless/engine.sh"
# shellcheck source=scripts/rootless/gpu.sh
source "$ROOT/scripts/rootless/gpu.sh"
# shellcheck source=scripts/rootless/proof.sh
source "$ROOT/scripts/rootless/proof.sh"

usage() {
    cat <<'EOF_USAGE'
scripts/setup_rootless.sh check        what is there, what is missing and what conflicts; changes nothing
scripts/setup_rootless.sh install      asks once, changes what is missing, starts the engine and proves it
scripts/setup_rootless.sh prove        runs only the proof: a container shows its user, and the GPU if there is one
scripts/setup_rootless.sh uninstall    stops the engine and restores every file that install changed

Run it as the user who will own the engine, never as root; steps that need root use sudo and are shown.

  --dry-run           with install and uninstall: print every command, change nothing
  --yes               do not ask
  --stop-rootful      disable the rootful engine (its containers end, nothing of it is deleted)
  --beside-rootful    set up although this user can write the rootful engine's socket
  --data-root DIR     keep images and volumes there, where the home directory is on a network file system
  --no-gpu            leave the GPU alone
  --image IMAGE       the proof's image (it needs cat and ls); default: one made of this machine's own cat and ls
  --remove-data       with uninstall: delete the rootless engine's images, containers and volumes as well
  --remove-packages   with uninstall: remove the packages that install added as well

exit codes: 0 everything is there; 1 something is missing, conflicts or failed; 2 wrong usage; 3 half done, the last lines say how to continue
EOF_USAGE
}

# Every step has look_STEP, which only reads and sets STATE, FOUND and REMEDY, and make_STEP where it can be missing. The order is
# that of the work: a step may rely on those before it.
STEPS=(system rootful desktop shadow home systemd credentials packages kernel subids apparmor iptables delegation linger engine gpu)

STATE='' FOUND='' REMEDY=''
there() { STATE=ok FOUND=$1 REMEDY=''; }
note() { STATE=note FOUND=$1 REMEDY=$2; }
missing() { STATE=missing FOUND=$1 REMEDY=$2; }
conflict() { STATE=conflict FOUND=$1 REMEDY=$2; }

# Looks at every step; prints the table; sets MISSING and CONFLICTS to the steps' names.
examine() {
    local step
    MISSING=() CONFLICTS=()
    for step in "${STEPS[@]}"; do
        "look_$step"
        case $STATE in
        missing) MISSING+=("$step") ;;
        conflict) CONFLICTS+=("$step") ;;
        esac
        printf '%-9s %-12s %s\n' "$STATE" "${step//_/ }" "$FOUND"
        [[ -z $REMEDY ]] || printf '%-9s %-12s -> %s\n' '' '' "$REMEDY"
    done
}

check() {
    examine
    say ""
    if ((${#CONFLICTS[@]} > 0)); then
        say "install would refuse: ${CONFLICTS[*]//_/ }"
        return 1
    fi
    if ((${#MISSING[@]} > 0)); then
        say "install would change: ${MISSING[*]//_/ }"
        return 1
    fi
    say "nothing to do"
}

install_rootless() {
    local step
    examine
    say ""
    ((${#CONFLICTS[@]} == 0)) || die "refused, nothing was changed: see ${CONFLICTS[*]//_/ } above"
    if ((${#MISSING[@]} == 0)); then
        say "nothing to do"
    else
        consent "install will change: ${MISSING[*]//_/ }"
        begin_journal
        for step in "${STEPS[@]}"; do settle "$step"; done
    fi
    if $DRY_RUN; then return; fi
    prove
    farewell
}

# Looks again: what an earlier step brought decides, and after the change it is the machine that says whether it holds.
settle() {
    "look_$1"
    [[ $STATE == missing ]] || return 0
    say "== ${1//_/ }: $FOUND"
    "make_$1"
    seal
    if $DRY_RUN; then return; fi
    "look_$1"
    [[ $STATE == ok || $STATE == note ]] || die "${1//_/ }: $FOUND${REMEDY:+ ($REMEDY)}"
}

farewell() {
    say ""
    say "Rootless Docker answers at unix://$(socket)"
    if [[ -z $(PATH=$ORIGINAL_PATH type -P docker) ]]; then
        say "docker is not on your PATH: export PATH=$(dirname "$(type -P docker)"):\$PATH"
    fi
    if ! systemd_runs; then
        say "Without systemd it does not start after a reboot. To start it: scripts/setup_rootless.sh install"
        say "or:  $(start_words)"
    fi
    say "Next: scripts/up.sh"
}

uninstall() {
    local left=() plan="uninstall will stop the rootless engine and restore what install changed"
    if ! has_journal; then
        say "nothing to do: install changed nothing here"
        return
    fi
    if $REMOVE_DATA; then plan+="; it will DELETE $(data_root): every image, container and volume in it"; fi
    if $REMOVE_PACKAGES; then plan+="; it will remove the packages: $(added_packages)"; fi
    consent "$plan"
    remove_engine
    if $REMOVE_DATA; then remove_data; fi
    restore_all
    if $REMOVE_PACKAGES; then remove_packages; fi
    if $DRY_RUN; then return; fi
    [[ ! -d $(data_root) ]] || left+=("images, containers and volumes: sudo rm -r $(data_root) deletes them")
    [[ -z $(added_packages) ]] || left+=("the packages: sudo apt-get remove $(added_packages)")
    end_journal
    say "the rootless engine is gone; restored: what install had changed"
    ((${#left[@]} == 0)) || printf 'left: %s\n' "${left[@]}"
}

VERB='' DRY_RUN=false YES=false STOP_ROOTFUL=false BESIDE_ROOTFUL=false DATA_ROOT='' USE_GPU=true PROOF_IMAGE=''
REMOVE_DATA=false REMOVE_PACKAGES=false
while (($# > 0)); do
    case $1 in
    check | install | prove | uninstall)
        [[ -z $VERB ]] || { usage >&2; exit 2; }
        VERB=$1
        ;;
    --dry-run) DRY_RUN=true ;;
    --yes) YES=true ;;
    --stop-rootful) STOP_ROOTFUL=true ;;
    --beside-rootful) BESIDE_ROOTFUL=true ;;
    --no-gpu) USE_GPU=false ;;
    --remove-data) REMOVE_DATA=true ;;
    --remove-packages) REMOVE_PACKAGES=true ;;
    --data-root | --image)
        [[ -n ${2:-} ]] || { usage >&2; exit 2; }
        if [[ $1 == --image ]]; then PROOF_IMAGE=$2; else DATA_ROOT=$(realpath -m "$2"); fi
        shift
        ;;
    -h | --help)
        usage
        exit
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
    shift
done

[[ $(uname -s) == Linux ]] || die "rootless Docker needs Linux: on Windows run this inside WSL2, macOS has no rootless engine"
[[ $(id -u) != 0 ]] || die "run this as the user who will own the engine, not as root and without sudo (it calls sudo where needed)"
[[ -d ${HOME:-} && -w $HOME ]] || die "HOME=${HOME:-} must be a directory that you can write"
prepare_environment
case $VERB in
check) check ;;
install) install_rootless ;;
prove) prove ;;
uninstall) uninstall ;;
*)
    usage >&2
    exit 2
    ;;
esac
