#!/bin/sh
# Makes our site a peer of others: a token is made at theirs, with which ours
# dials. One side is enough. Sites that are peers already stay as they are.
#
#   peer.sh OURS THEIRS...      the site files
set -eu
. "$(dirname "$0")/steps.sh"

ours=$1
shift
for file in "$ours" "$@"; do
	[ -s "$file" ] || fail "there is no $file: found that site first"
done

# peer THEIRS
peer() {
	us=$(value SITE "$ours") them=$(value SITE "$1")

	peers=$(as "$ours" catalyst peer list -o json)
	if echo "$peers" | grep -q "\"id\" *: *\"$them\""; then
		return
	fi

	token=$(as "$1" catalyst token create --role peer --site "$us" -o json | field token)
	[ -n "$token" ] || fail "site $them gave no token for $us"
	export CATALYST_PEER_SECRET="$token" # not a flag, which other users could read
	# shellcheck disable=SC2046 # one word for each endpoint
	as "$ours" catalyst peer add --id "$them" $(value CATALYST_ADDR "$1" | sed 's|[^,]*|wss://&/rpc|g' | tr , ' ')
	unset CATALYST_PEER_SECRET
}

for theirs in "$@"; do
	peer "$theirs"
done
