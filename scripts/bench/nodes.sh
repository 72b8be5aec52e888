#!/usr/bin/env bash
# What a restart pays for custom nodes that did not change, beside their scan: 12 nodes with 1000 files of Python's own library and Bandit's,
# in ComfyUI's image. `scripts/bench.sh --only nodes` runs it. Exits 1 where the goal is missed.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

IMAGE=${IMAGE_PREFIX:-takumi}-comfyui
GOAL=0.05
ROUNDS=3

require_engine
engine image inspect "$IMAGE" >/dev/null 2>&1 || "$ROOT/scripts/build.sh" --stand-in comfyui
data=takumi-bench-data-$$ state=takumi-bench-state-$$
trap 'engine volume rm --force "$data" "$state" >/dev/null' EXIT

engine run --rm --interactive --network none --volume "$data:/data" --entrypoint python3 "$IMAGE" - <<'END'
import itertools, os, pathlib, shutil, sysconfig
library = pathlib.Path(sysconfig.get_path("stdlib"))
files = itertools.chain(library.rglob("*.py"), pathlib.Path("/opt/bandit").rglob("*.py"))
count = 0
for count, file in enumerate(itertools.islice(files, 1000), 1):
    node = pathlib.Path(f"/data/custom_nodes/node{count % 12}")
    node.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, node / f"{count}.py")
assert count == 1000, count
for folder, folders, names in os.walk("/data"):
    for name in [".", *names]:
        os.chown(os.path.join(folder, name), 1000, 1000)
END

# start SCAN: milliseconds of one start with that TAKUMI_SCAN, from the engine's word to the app's end.
start() {
    local began
    began=$(date +%s%N)
    engine run --rm --network none --read-only --tmpfs /tmp:rw,nosuid,nodev,noexec,mode=1777 --tmpfs /run:rw,nosuid,nodev,noexec,mode=755 \
        --cap-drop ALL --cap-add SETUID --cap-add SETGID --cap-add SETPCAP --cap-add CHOWN --cap-add DAC_READ_SEARCH --cap-add FOWNER \
        --security-opt no-new-privileges --volume "$data:/data" --volume "$state:/state" --volume /cache \
        --env TAKUMI_LOG=error --env TAKUMI_EGRESS=off --env TAKUMI_HEALTH_URL= --env TAKUMI_STOP= --env "TAKUMI_SCAN=$1" \
        "$IMAGE" true
    echo $((($(date +%s%N) - began) / 1000000))
}

median() { sort -n | sed -n "$(((ROUNDS + 1) / 2))p"; }

first=$(start warn)
off=$(for ((round = 0; round < ROUNDS; round++)); do start off; done | median)
again=$(for ((round = 0; round < ROUNDS; round++)); do start warn; done | median)
scan=$((first - off)) digests=$((again - off))
printf '\n%s\n\n' "## nodes: 12 nodes with 1000 files, ms: scan $scan, unchanged $digests (whole starts: $first, $again, without a look $off)"
awk -v digests="$digests" -v scan="$scan" -v goal="$GOAL" 'BEGIN {
    ratio = digests / scan
    printf "unchanged / scan: %.3f; goal at most %s: %s\n", ratio, goal, ratio <= goal ? "held" : "MISSED"
    exit ratio > goal
}'
