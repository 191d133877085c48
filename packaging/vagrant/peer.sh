#!/bin/sh
# Makes two sites peers: a token is made at theirs, with which ours dials. One
# side is enough. Sites that are peers already stay as they are.
#
#   peer.sh OURS THEIRS      the site files of both
set -eu
. "$(dirname "$0")/steps.sh"

ours=$1 theirs=$2

for file in "$ours" "$theirs"; do
	[ -s "$file" ] || fail "there is no $file: found that site first"
done
us=$(value SITE "$ours") them=$(value SITE "$theirs")

peers=$(as "$ours" catalyst peer list -o json)
if echo "$peers" | grep -q "\"id\" *: *\"$them\""; then
	exit 0
fi

token=$(as "$theirs" catalyst token create --role peer --site "$us" -o json | field token)
[ -n "$token" ] || fail "site $them gave no token for $us"
export CATALYST_PEER_SECRET="$token" # not a flag, which other users could read
# shellcheck disable=SC2046 # one word for each endpoint
as "$ours" catalyst peer add --id "$them" $(value CATALYST_ADDR "$theirs" | sed 's|[^,]*|wss://&/rpc|g' | tr , ' ')
