#!/usr/bin/env bash
# Lists what is in an image (SBOM) and what scanners find in it: one table, one verdict.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/scan/ask.sh
source "$ROOT/scripts/scan/ask.sh"

usage() {
    cat <<'EOT'
scripts/scan_image.sh [IMAGE]      scan IMAGE (takumi-demo), or the archive that `docker save` wrote
    --threshold SEVERITY   fail from this severity on: critical, high (the default), medium, low, or none
    --unfixed              fail for what no newer version fixes yet, too; the table always shows it
    --scanners LIST        what Trivy looks for in files: vuln,secret (the default) and others that it knows
    --sbom                 write the SBOM and ask no scanner
    --ignore FILE          findings that are accepted for a time (image/scan-ignore.txt)
    --output DIR           where SBOMs and reports go (target/scan)

syft writes the SBOM. Trivy and Docker Scout (`quickview` and `cves`) run where they are installed; one of them must be.

exit code: 0 nothing found at the threshold, 1 not answered, 2 wrong usage, 3 found

environment:
  SYFT, TRIVY         the programs, where they are not on PATH
  CONTAINER_ENGINE    docker or podman, with options if need be; default: docker where it is installed
EOT
}

SEVERITIES=(critical high medium low unknown)
IMAGE=$DEMO_IMAGE_NAME
THRESHOLD=high
UNFIXED=false
SCANNERS=vuln,secret
SBOM_ONLY=false
IGNORE=$ROOT/image/scan-ignore.txt
OUTPUT=${BUILT_TOOLS%/*}/scan

# Prints "ID EXPIRED" of each entry. An entry without an end or a reason is a finding that nobody looks at again.
read_ignores() {
    local id end reason line=0 wrong=() day today limit
    today=$(date -u +%F)
    limit=$(date -u -d '1 year' +%F)
    [[ -r $IGNORE ]] || die "cannot read $IGNORE"
    # The last line may lack its newline.
    while read -r id end reason || [[ -n $id ]]; do
        line=$((line + 1))
        if [[ -z $id || $id == '#'* ]]; then continue; fi
        day=${end#exp:}
        if [[ $end != exp:????-??-?? || $(date -u -d "$day" +%F 2>/dev/null) != "$day" ]]; then
            wrong+=("line $line: $id has no end (exp:YYYY-MM-DD as the second word)")
        elif [[ $day > $limit ]]; then
            wrong+=("line $line: $id ends on $day, more than a year ahead")
        elif [[ $reason != *' '*' '* ]]; then
            wrong+=("line $line: $id has no reason (the rest of the line)")
        elif [[ $today < $day ]]; then
            say "$id false"
        else
            say "$id true"
            warn "$IGNORE: $id expired on $day and is no longer ignored"
        fi
    done <"$IGNORE"
    ((${#wrong[@]} == 0)) && return
    warn "$IGNORE:"
    printf '  %s\n' "${wrong[@]}" >&2
    return 1
}

# Counts the findings on stdin into a row of the table; those that fail are added to $WORK/failing.
row() {
    local scanner=$1 severity id where fixed each unfixed=0 ignored=0 cells=()
    local -A count=()
    while IFS=$'\t' read -r severity id where fixed; do
        severity=${severity,,}
        # Scout says UNSPECIFIED, and the next version may have a word of its own: nothing may be left out of the table.
        [[ " ${SEVERITIES[*]} " == *" $severity "* ]] || severity=unknown
        if grep -qxF "$id false" "$WORK/ignores"; then
            ignored=$((ignored + 1))
            continue
        fi
        count[$severity]=$((${count[$severity]:-0} + 1))
        if fails "$severity" "$fixed"; then
            printf '%-9s %-22s %s (fix: %s)\n' "$severity" "$id" "$where" "${fixed/#-/none yet}" >>"$WORK/failing"
        fi
        if [[ $fixed == - ]]; then unfixed=$((unfixed + 1)); fi
    done
    for each in "${SEVERITIES[@]}"; do cells+=("${count[$each]:-0}"); done
    # shellcheck disable=SC2059
    printf "$FORMAT" "$scanner" "${cells[@]}" "$unfixed" "$ignored"
}

fails() {
    local severity=$1 fixed=$2 each
    if [[ $fixed == - ]] && ! $UNFIXED; then return 1; fi
    if [[ $THRESHOLD == none ]]; then return 1; fi
    for each in "${SEVERITIES[@]}"; do
        if [[ $each == "$severity" ]]; then return 0; fi
        # Unknown, at the end, may be anything: it counts at the lowest threshold alone.
        if [[ $each == "$THRESHOLD" && $THRESHOLD != low ]]; then return 1; fi
    done
}

FORMAT='%-14s %8s %8s %8s %8s %8s %11s %8s\n'

table() {
    local asked=0
    : >"$WORK/failing"
    {
        # shellcheck disable=SC2059
        printf "$FORMAT" scanner "${SEVERITIES[@]}" "no fix yet" ignored
        if TRIVY_PATH=$(command -v "${TRIVY:-trivy}"); then
            trivy_findings >"$WORK/trivy" || die "trivy failed"
            row trivy <"$WORK/trivy"
            asked=$((asked + 1))
        else
            say "trivy          not installed"
        fi
        # Scout is a plugin of docker's own client.
        if (find_engine) 2>/dev/null && find_engine && engine scout version >/dev/null 2>&1; then
            scout_findings >"$WORK/scout" || die "docker scout failed (it needs a docker login)"
            row "docker scout" <"$WORK/scout"
            asked=$((asked + 1))
        else
            say "docker scout   not installed"
        fi
    } >"$WORK/table"
    say ""
    cat "$WORK/table"
    ((asked > 0)) || die "no scanner is installed, so vulnerabilities are unknown: install trivy or docker scout (--sbom alone needs none)"
}

while (($# > 0)); do
    case $1 in
    --threshold) THRESHOLD=${2:-} && shift ;;
    --unfixed) UNFIXED=true ;;
    --scanners) SCANNERS=${2:-} && shift ;;
    --sbom) SBOM_ONLY=true ;;
    --ignore) IGNORE=${2:-} && shift ;;
    --output) OUTPUT=${2:-} && shift ;;
    -h | --help)
        usage
        exit
        ;;
    -*)
        usage >&2
        exit 2
        ;;
    *) IMAGE=$1 ;;
    esac
    shift || {
        usage >&2
        exit 2
    }
done
if [[ ! $THRESHOLD =~ ^(critical|high|medium|low|none)$ ]]; then
    usage >&2
    exit 2
fi

need jq:jq
WORK=$(mktemp -d -p /var/tmp)
trap 'rm -rf "$WORK"' EXIT
read_ignores >"$WORK/ignores" || exit 1
mkdir -p "$OUTPUT"
# What an earlier run found would else stand there for an answer.
rm -f "$OUTPUT"/{sbom.spdx.json,sbom.cdx.json,trivy.json,trivy.sarif,scout.sarif}
save_archive
write_sbom
if $SBOM_ONLY; then exit; fi
table
if [[ -s $WORK/failing ]]; then
    say ""
    say "at or above '$THRESHOLD':"
    sort -u "$WORK/failing"
    exit 3
fi
