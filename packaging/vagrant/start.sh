#!/bin/sh
# Configures the node of this machine and has it run, now and after each boot.
# A node that runs is started again only when a setting has changed.
#
#   start.sh ID ADDRESS      the name of the node, and the machine's IP address
#
# CATALYST_ENV is the file of settings, by default /etc/catalyst/catalyst.env.
set -eu

id=$1 address=$2
settings=${CATALYST_ENV:-/etc/catalyst/catalyst.env}

umask 077
cat >"$settings.new" <<END
CATALYST_NODE_ID=$id
CATALYST_RPC_ADDR=$address:3000
CATALYST_RAFT_ADDR=$address:3001
CATALYST_GOSSIP_ADDR=$address:3002
CATALYST_GQL_GATEWAY_ENDPOINT=
END

if cmp -s "$settings.new" "$settings"; then
	rm "$settings.new"
else
	mv "$settings.new" "$settings"
	systemctl try-restart catalyst.service
fi
systemctl enable --quiet --now catalyst.service
