#!/usr/bin/env bash
# How long `docker stop` takes of the stand-in for ComfyUI, idle and with a prompt that holds Python's lock in C, with the image's own stop
# ladder. `scripts/bench.sh --only stops` runs it. Exits 1 where a goal is missed.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

IMAGE=${IMAGE_PREFIX:-takumi}-demo

require_engine
engine image inspect "$IMAGE" >/dev/null 2>&1 || "$ROOT/scripts/build.sh" demo
name=takumi-bench-stop-$$
trap 'engine rm --force --volumes "$name" >/dev/null 2>&1' EXIT

# stop WHAT GOAL WORD...: milliseconds from the engine's word to the container's end; with a word of --bad a prompt runs in it.
missed=0
stop() {
    local what=$1 goal=$2 words=() began took verdict=held
    shift 2
    for word in "$@"; do words+=(--bad "$word"); done
    engine run --detach --name "$name" --read-only --tmpfs /tmp:rw,nosuid,nodev,noexec,mode=1777 --tmpfs /run:rw,nosuid,nodev,noexec,mode=755 \
        --cap-drop ALL --cap-add SETUID --cap-add SETGID --cap-add SETPCAP --cap-add CHOWN --cap-add DAC_READ_SEARCH --cap-add FOWNER \
        --security-opt no-new-privileges --volume /data --env TAKUMI_LOG=error --env TAKUMI_HEALTH_URL=http://127.0.0.1:8188/prompt \
        --env TAKUMI_STOP=drain:8s,TERM:1s --env TAKUMI_EXIT_OK=143 \
        "$IMAGE" python3 /app/comfyui_standin.py --listen 0.0.0.0 --base-directory=/data "${words[@]}" >/dev/null
    until engine exec "$name" /init --check >/dev/null 2>&1; do sleep 0.2; done
    if (($# > 0)); then
        engine exec "$name" python3 -c "import urllib.request
data = b'{\"prompt\": {\"1\": {\"inputs\": {\"seconds\": 600}}}}'
urllib.request.urlopen(urllib.request.Request('http://127.0.0.1:8188/prompt', data, {'Content-Type': 'application/json'})).read()"
        sleep 1
    fi
    began=$(date +%s%N)
    engine stop --time 20 "$name" >/dev/null
    took=$((($(date +%s%N) - began) / 1000000))
    engine rm --force --volumes "$name" >/dev/null
    if ((took > goal)); then verdict=MISSED missed=1; fi
    say "$what, ms: $took; goal at most $goal: $verdict"
}

printf '\n%s\n\n' "## stops: docker stop"
stop "an idle app" 2000
stop "a prompt that holds the lock in C" 10000 lock
stop "the same with a SIGTERM handler" 10000 lock handler
exit $missed
