#!/usr/bin/env python3
"""summary.py LEVEL LIST EVERYTHING JUNIT: the closing lines of scripts/test.sh.

LIST and EVERYTHING are `cargo nextest list --message-format json` of this level and of --full, JUNIT is the record of the run. A test of
the list that has no record did not run, and counts as failed. Exits 1 unless every test passed or was skipped where that is allowed.
"""
import json
import os
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter


def listed(path):
    """The tests of a list, as (binary, name)."""
    with open(path, encoding="utf-8") as file:
        suites = json.load(file)["rust-suites"]
    return {
        (binary, name)
        for binary, suite in suites.items()
        for name, test in suite["testcases"].items()
        if test["filter-match"]["status"] == "matches"
    }


def recorded(path):
    """What was recorded of each test: its element of the record."""
    if not os.path.exists(path):
        return {}
    suites = ElementTree.parse(path).getroot().iter("testsuite")
    return {(suite.get("name"), case.get("name")): case for suite in suites for case in suite.iter("testcase")}


def skipped(case):
    """Why a test that passed did not run: the line that require! printed."""
    lines = (case.findtext("system-out") or "").splitlines()
    return next((line.removeprefix("skipped: ") for line in lines if line.startswith("skipped: ")), None)


def main():
    level, own, everything, junit = sys.argv[1], listed(sys.argv[2]), listed(sys.argv[3]), recorded(sys.argv[4])
    missing = sorted(own - junit.keys())
    failed = {test for test, case in junit.items() if case.find("failure") is not None or case.find("error") is not None}
    reasons = Counter(reason for test, case in junit.items() if test not in failed and (reason := skipped(case)))
    left = Counter("::".join([binary.split("::")[-1], *name.split("::")[:-1][:1]]) for binary, name in everything - own)
    for reason, count in sorted(reasons.items()):
        print(f"skipped {count}: {reason}")
    for binary, name in missing:
        print(f"did not run: {binary} {name}")
    if left:
        more = "--all and --full" if level == "quick" else "--full"
        print(f"left to {more}: {sum(left.values())} tests ({', '.join(f'{part} {count}' for part, count in sorted(left.items()))})")
    skips, failures = sum(reasons.values()), len(failed) + len(missing)
    print(f"{len(junit) - len(failed) - skips} passed, {failures} failed, {skips} skipped")
    if not junit:
        sys.exit("summary.py: no test ran")
    sys.exit(1 if failures else 0)


main()
