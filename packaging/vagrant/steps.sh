# shellcheck shell=sh
# What the steps share; each of them sources it.
#
# A site file holds what a client of a site needs, as shell variables: SITE its
# name, CATALYST_ADDR its nodes, CATALYST_TOKEN its admin token, and JOIN_TOKEN.

fail() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# field NAME prints a text from the JSON document on stdin.
field() {
	tr -d '\n' | sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p"
}

# value NAME FILE prints a variable of a site file.
value() {
	sed -n "s/^$1=//p" "$2"
}

# as FILE COMMAND... runs a client of the site of a site file.
as() {
	of=$1
	shift
	CATALYST_ADDR=$(value CATALYST_ADDR "$of") CATALYST_TOKEN=$(value CATALYST_TOKEN "$of") "$@"
}

# waits NODE tells whether the node at that address waits for a site.
waits() {
	catalyst status --address "ws://$1" --timeout 2s -o json 2>/dev/null | grep -q '"role" *: *"waiting"'
}

# belongs NODE FILE tells whether it is a member of the site of a site file.
belongs() {
	[ -s "$2" ] && as "$2" catalyst status --address "wss://$1" --timeout 2s >/dev/null 2>&1
}

# standing NODE FILE prints "waits" or "belongs", as soon as the node has started.
standing() {
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		if waits "$1"; then
			echo waits
			return
		fi
		if belongs "$1" "$2"; then
			echo belongs
			return
		fi
		sleep 1
	done
	fail "the node at $1 neither waits for a site nor belongs to the one of $2: journalctl -u catalyst says more"
}
