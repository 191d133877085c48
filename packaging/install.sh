#!/bin/sh
# Installs Catalyst as a service of this machine: the user, the program, the
# unit, and an example of its settings. Running it again upgrades: what differs
# is replaced, and a node that runs is started again only then.
#
#   install.sh [PROGRAM]      default: bin/catalyst of this tree
#
# DESTDIR installs into a tree that is not the running system; there is then no
# user and no service to care for.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
program=${1:-$here/../bin/catalyst}
root=${DESTDIR:-}

fail() {
	echo "install.sh: $*" >&2
	exit 1
}

# put MODE FROM TO: notes in changed whether there was anything to do.
changed=
put() {
	cmp -s "$2" "$root$3" && return
	install -D -m "$1" "$2" "$root$3.new"
	mv "$root$3.new" "$root$3" # a running program cannot be written over
	echo "installed $3"
	changed=yes
}

[ -x "$program" ] || fail "there is no program at $program: make build makes it"
[ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "only root can install: run it with sudo"

put 0755 "$program" /usr/local/bin/catalyst
put 0644 "$here/catalyst.service" /etc/systemd/system/catalyst.service
put 0644 "$here/sysusers.d/catalyst.conf" /etc/sysusers.d/catalyst.conf
restart=$changed
put 0644 "$here/catalyst.env.example" /etc/catalyst/catalyst.env.example

[ -z "$root" ] || exit 0

systemd-sysusers catalyst.conf
# What an operator puts there, such as certificates, is the node's to read.
chown root:catalyst /etc/catalyst
chmod 0750 /etc/catalyst
systemctl daemon-reload
[ -z "$restart" ] || systemctl try-restart catalyst.service
