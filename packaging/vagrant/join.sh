#!/bin/sh
# Takes the node of this machine, which waits for a site, into the site of a
# site file. A node that belongs to it already stays as it is.
#
#   join.sh NODE FILE      NODE is HOST:PORT of this machine's node
set -eu
. "$(dirname "$0")/steps.sh"

node=$1 file=$2

[ -s "$file" ] || fail "there is no $file: found the site first, with its first machine"
standing=$(standing "$node" "$file")
[ "$standing" = waits ] || exit 0

# Any other node of the site will do, and some may not be there yet.
for other in $(value CATALYST_ADDR "$file" | tr , ' '); do
	[ "$other" != "$node" ] || continue
	if catalyst join "$other" --token "$(value JOIN_TOKEN "$file")" --address "ws://$node" --timeout 30s; then
		exit 0
	fi
done
fail "no node of site $(value SITE "$file") took $node in; when that site is gone, remove $file"
