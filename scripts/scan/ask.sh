# shellcheck shell=bash
# What syft, Trivy and Docker Scout say of an archive. Sourced by scripts/scan_image.sh, never run.

# Everyone looks at the same bytes: the archive of the image.
save_archive() {
    if [[ -f $IMAGE ]]; then
        ARCHIVE=$IMAGE
        return
    fi
    require_engine
    ARCHIVE=$WORK/image.tar
    engine save --output "$ARCHIVE" "$IMAGE" || die "cannot save the image $IMAGE"
}

write_sbom() {
    local syft
    syft=$(command -v "${SYFT:-syft}") || die "syft is missing (https://github.com/anchore/syft): install it, or set SYFT to its path"
    "$syft" scan --quiet "docker-archive:$ARCHIVE" \
        --output "spdx-json=$OUTPUT/sbom.spdx.json" --output "cyclonedx-json=$OUTPUT/sbom.cdx.json" || die "syft failed"
    say "SBOM: $OUTPUT/sbom.spdx.json, $OUTPUT/sbom.cdx.json"
    say "packages: $(jq -r '[.components[]?.purl // empty | capture("^pkg:(?<kind>[^/]+)/").kind] | group_by(.) |
        map("\(length) \(.[0])") | join(", ") | if . == "" then "none" else . end' "$OUTPUT/sbom.cdx.json")"
}

# A scanner's findings, one a line: SEVERITY, ID, where, the version that fixes it or "-".
trivy_findings() {
    # The ignore file is applied below, to every scanner alike; Trivy would take a .trivyignore of the working directory.
    "$TRIVY_PATH" image --quiet --input "$ARCHIVE" --format json --output "$OUTPUT/trivy.json" --ignorefile /dev/null \
        --scanners "$SCANNERS" --image-config-scanners misconfig,secret >&2 || return
    "$TRIVY_PATH" convert --quiet --format sarif --output "$OUTPUT/trivy.sarif" --ignorefile "$IGNORE" "$OUTPUT/trivy.json" >&2 || return
    jq -es '.[0].SchemaVersion' "$OUTPUT/trivy.json" >/dev/null || return
    # Trivy's checks are DS002 or DS-0002 by version, with AVD-DS-0002 beside it.
    jq -r '.Results[]? | .Target as $target |
        (.Vulnerabilities[]? | [.Severity, .VulnerabilityID, "\(.PkgName) \(.InstalledVersion)", (.FixedVersion // "")]),
        (.Secrets[]? | [.Severity, .RuleID, "\($target):\(.StartLine)", "remove it"]),
        (.Misconfigurations[]? | select(.Status == "FAIL") | [.Severity, (.AVDID // .ID | sub("^AVD-"; "")), .Title, "change it"]) |
        map(if . == "" then "-" else . end) | @tsv' "$OUTPUT/trivy.json"
}

scout_findings() {
    engine scout quickview "archive://$ARCHIVE" >&2 || return
    engine scout cves --format sarif --output "$OUTPUT/scout.sarif" "archive://$ARCHIVE" >&2 || return
    # An empty report is no clean one; jq calls an empty file a success.
    jq -es '.[0].runs | length > 0' "$OUTPUT/scout.sarif" >/dev/null || return
    jq -r '.runs[] | (.tool.driver.rules // [] | map({(.id): .properties}) | add // {}) as $rules | .results[]? |
        $rules[.ruleId] as $of |
        [$of.cvssV3_severity // "UNKNOWN", .ruleId, ($of.purls // [] | join(" ")), ($of.fixed_version // "not fixed")] |
        map(if . == "" or . == "not fixed" then "-" else . end) | @tsv' "$OUTPUT/scout.sarif" | sort -u
}
