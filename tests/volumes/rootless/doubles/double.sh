# shellcheck shell=bash
# What the doubles share. A double records its call, answers what a test expects, and says so when a call is not expected: the test
# fails on any line of $DOUBLES/unexpected. What a call changes lies in $DOUBLES as well.

printf '%s\n' "${0##*/} $*" >>"$DOUBLES/calls"

unexpected() {
    printf '%s\n' "${0##*/} $*" >>"$DOUBLES/unexpected"
    printf '%s: the test does not expect: %s\n' "${0##*/}" "$*" >&2
    exit 97
}

did() { : >"$DOUBLES/$1"; }
done_already() { [[ -e $DOUBLES/$1 ]]; }
