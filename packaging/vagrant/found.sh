#!/bin/sh
# Founds a site with the node of this machine, which waits for one, and keeps
# what clients and further nodes need in a site file. A node that belongs to the
# site already stays as it is.
#
#   found.sh SITE NODE NODES FILE
#
# NODE is HOST:PORT of this machine's node, NODES are those of all nodes that
# the site will have, comma-separated, and FILE is the site file to write.
set -eu
. "$(dirname "$0")/steps.sh"

site=$1 node=$2 nodes=$3 file=$4

standing=$(standing "$node" "$file")
[ "$standing" = waits ] || exit 0

umask 077
catalyst init --site "$site" --address "ws://$node" --timeout 60s -o json >"$file.answer"
cat >"$file.new" <<END
SITE=$site
CATALYST_ADDR=$nodes
CATALYST_TOKEN=$(field adminToken <"$file.answer")
JOIN_TOKEN=$(field joinToken <"$file.answer")
END
mv "$file.new" "$file"
rm "$file.answer"

standing "$node" "$file" >/dev/null
echo "founded site $site"
