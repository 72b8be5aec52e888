# shellcheck shell=bash
# The GPU for a rootless engine: CDI where it can be, the old hook where it must. Sourced, never run.

gpu() { if $USE_GPU; then gpu_kind; fi; }

can_install_toolkit() { [[ $(apt-cache policy nvidia-container-toolkit 2>/dev/null) == *Candidate:\ [0-9]* ]]; }

version_in() { grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | sed -n 1p; }
toolkit_version() { nvidia-ctk --version 2>/dev/null | version_in; }

# As the engine's own answer, or before there is one as its program's.
engine_version() {
    rootless_docker version --format '{{.Server.Version}}' 2>/dev/null || dockerd --version 2>/dev/null | version_in
}

# Where no engine is installed yet, apt's is taken to be new enough; the step looks again when it is there.
# CDI came to Docker with 25, and to the toolkit for WSL2 too with 1.13. It hands over devices and libraries as mounts.
gpu_mode() {
    local engine
    engine=$(engine_version) || engine=25
    if at_least "$(toolkit_version)" 1.13 && at_least "$engine" 25; then printf 'cdi\n'; else printf 'hook\n'; fi
}

# NVIDIA's hook sets up the device cgroup itself, which a rootless engine may not.
needs_no_cgroups() { [[ $(gpu) == wsl || $(gpu_mode) == hook ]]; }

# In the user's own directory: rootless engines before 27.4 do not see /etc/cdi (moby#47676), and no root is needed.
cdi_directory() { printf '%s\n' "$(config_home)/cdi"; }
toolkit_config() { at /etc/nvidia-container-runtime/config.toml; }

no_cgroups_is_set() { grep -qsE '^[[:space:]]*no-cgroups[[:space:]]*=[[:space:]]*true' "$(toolkit_config)"; }

driver_version() { grep -oE '[0-9]+\.[0-9]+(\.[0-9]+)?' "$(at /proc/driver/nvidia/version)" 2>/dev/null | sed -n 1p; }

# The specification names the driver's files by their version; after an update of the driver they are not there.
cdi_is_current() {
    local file
    file=$(cdi_directory)/nvidia.yaml
    [[ -s $file ]] && { [[ $(gpu) == wsl ]] || grep -qF -- "$(driver_version)" "$file"; }
}

look_gpu() {
    if [[ -z $(gpu) ]]; then
        there "no NVIDIA GPU to hand over"
    elif ! type -P nvidia-ctk >/dev/null; then
        if can_install_toolkit; then
            missing "NVIDIA GPU found, but the container toolkit is not installed" "install nvidia-container-toolkit"
        else
            conflict "NVIDIA GPU found, but apt does not know nvidia-container-toolkit" \
                "add NVIDIA's package source (docs/rootless.md, 'The GPU'), or --no-gpu"
        fi
    elif [[ $(gpu_mode) == cdi ]] && ! cdi_is_current; then
        missing "the GPU's CDI description is missing or for another driver" "nvidia-ctk cdi generate"
    elif [[ $(gpu_mode) == cdi ]] && ! grep -qsF "\"$(cdi_directory)\"" "$(daemon_json)"; then
        missing "the engine does not read $(cdi_directory)" "cdi-spec-dirs in $(daemon_json)"
    elif [[ $(gpu_mode) == hook ]] && ! grep -qs nvidia-container-runtime "$(daemon_json)"; then
        missing "the engine does not know NVIDIA's runtime" "nvidia-ctk runtime configure"
    elif needs_no_cgroups && ! no_cgroups_is_set; then
        missing "NVIDIA's hook would set up cgroups, which a rootless engine cannot" \
            "no-cgroups = true, which BREAKS the GPU in a rootful engine of this machine"
    else
        there "containers get the GPU by $(gpu_mode)$(if needs_no_cgroups; then printf ', with no-cgroups = true'; fi)"
    fi
}

make_gpu() {
    if [[ $(gpu_mode) == cdi ]]; then make_cdi; else make_runtime; fi
    if needs_no_cgroups && ! no_cgroups_is_set; then make_no_cgroups; fi
    restart_engine
}

make_cdi() {
    local file options=()
    file=$(cdi_directory)/nvidia.yaml
    if [[ $(gpu) == wsl ]]; then options+=(--mode=wsl); fi
    back_up "$file"
    make_directory "$(cdi_directory)"
    run nvidia-ctk cdi generate "${options[@]}" --output="$file"
    edit_json "$(daemon_json)" 'data.setdefault("features", {})["cdi"] = True
data["cdi-spec-dirs"] = sorted({*data.get("cdi-spec-dirs", []), sys.argv[2]})' "$(cdi_directory)"
}

make_runtime() {
    back_up "$(daemon_json)"
    make_directory "$(dirname "$(daemon_json)")"
    run nvidia-ctk runtime configure --runtime=docker --config="$(daemon_json)"
}

# By hand: `nvidia-ctk config --set` came only with 1.14, and it is the older ones that need this.
make_no_cgroups() {
    local file text line='no-cgroups = true'
    file=$(toolkit_config)
    warn "no-cgroups = true is for the whole machine: a rootful engine that gives containers the GPU by NVIDIA's hook" \
        "will fail with 'Failed to initialize NVML: Unknown Error'; uninstall reverts it"
    if grep -qE '^[[:space:]]*#?[[:space:]]*no-cgroups[[:space:]]*=' "$file"; then
        text=$(sed -E "s/^[[:space:]]*#?[[:space:]]*no-cgroups[[:space:]]*=.*/$line/" "$file")
    elif grep -q '^\[nvidia-container-cli\]' "$file"; then
        text=$(sed "/^\[nvidia-container-cli\]/a $line" "$file")
    else
        text=$(cat "$file" && printf '\n[nvidia-container-cli]\n%s\n' "$line")
    fi
    put "$file" 0644 <<<"$text"
}
