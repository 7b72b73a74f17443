#!/bin/sh
# Tries to install the programs that some tests use. Those tests skip, and say so, where a program is absent.
# Installs only as root, only with apt-get, only what is missing; never fails, and stops after SECONDS_AT_MOST.
set -u

SECONDS_AT_MOST=240
# command:Debian package, those that a test uses and no others
WANTED="chromium:chromium"

missing=""
for pair in $WANTED; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
[ -n "$missing" ] || exit 0

skipped() {
    echo "*** NOT INSTALLED:$missing ($1). The tests that need them will be SKIPPED." >&2
    exit 0
}

[ "$(id -u)" -eq 0 ] || skipped "not root; by hand: apt-get install$missing"
command -v apt-get >/dev/null 2>&1 || skipped "no apt-get here"
command -v timeout >/dev/null 2>&1 || skipped "no timeout command here"

echo "installing for the tests:$missing"
log=$(mktemp) || skipped "no temporary file"
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # one word per package is meant
timeout -k 10 "$SECONDS_AT_MOST" sh -c '
    apt-get update -q && exec apt-get install -q -y --no-install-recommends "$@"
' sh $missing >"$log" 2>&1 </dev/null
code=$?
if [ "$code" -ne 0 ]; then
    tail -n 3 "$log" >&2
    [ "$code" -ne 124 ] || skipped "stopped after $SECONDS_AT_MOST s"
    skipped "apt-get ended with $code"
fi
exit 0
