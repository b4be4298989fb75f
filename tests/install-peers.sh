#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Installs the Debian packages that demo and tests use; with `bench`, also what is measured beside us.
# While apt runs, a policy says that no packaged daemon may be started or stopped; daemons that run
# already are left alone.
set -eu

packages="bird2 frr gobgpd iproute2 nftables iputils-ping tcpdump strace util-linux procps shellcheck"
[ "${1-}" != bench ] || packages="$packages containernetworking-plugins openbgpd"
missing=""
for package in $packages; do
  dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' ||
    missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
  echo "run as root: apt-get install --no-install-recommends$missing" >&2
  exit 1
fi

policy=/usr/sbin/policy-rc.d
saved=""
trap 'rm -f "$policy"; [ -z "$saved" ] || mv "$saved" "$policy"' EXIT
trap 'exit 1' INT TERM
if [ -e "$policy" ]; then saved="$policy.saved-$$"; mv "$policy" "$saved"; fi
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# shellcheck disable=SC2086 # a list of words
apt-get install -q -y --no-install-recommends $missing
