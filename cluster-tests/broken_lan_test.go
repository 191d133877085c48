package clustertests

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// lan is a network namespace for each node of one site, on a common wire. What one node hears of another can be taken away
// one way or both; the test reaches every node all the same.
type lan struct {
	name string
	ends map[*node]end
}

// newLAN gives each node of a site a namespace. Names and addresses come from this process's id, so that runs do not meet.
func newLAN(t testing.TB, s *site) *lan {
	t.Helper()
	asRoot(t, "ip", "iptables")
	l := &lan{name: fmt.Sprintf("lan%d", os.Getpid()), ends: map[*node]end{}}
	at := func(host int) netip.Addr { // 198.19.x.0/24, of RFC 2544's
		return netip.AddrFrom4([4]byte{198, 19, byte(os.Getpid()), byte(host)})
	}
	l.namespace(t, l.wire())
	ip(t, "-n", l.wire(), "link", "add", "bridge", "type", "bridge")
	ip(t, "-n", l.wire(), "link", "set", "bridge", "up")

	here := l.name + "-t"
	ip(t, "-n", l.wire(), "link", "add", "test", "type", "veth", "peer", "name", here, "netns", fmt.Sprint(os.Getpid()))
	t.Cleanup(func() { ip(t, "link", "del", here) })
	ip(t, "-n", l.wire(), "link", "set", "test", "master", "bridge", "up")
	ip(t, "addr", "add", at(1).String()+"/24", "dev", here)
	ip(t, "link", "set", here, "up")

	for i, n := range s.nodes {
		e := end{namespace: fmt.Sprintf("%s-%d", l.name, i), address: at(10 + i), port: fmt.Sprint("port", i)}
		l.namespace(t, e.namespace)
		ip(t, "-n", e.namespace, "link", "set", "lo", "up")
		ip(t, "-n", l.wire(), "link", "add", e.port, "type", "veth", "peer", "name", "wire", "netns", e.namespace)
		ip(t, "-n", l.wire(), "link", "set", e.port, "master", "bridge", "up")
		ip(t, "-n", e.namespace, "addr", "add", e.address.String()+"/24", "dev", "wire")
		ip(t, "-n", e.namespace, "link", "set", "wire", "up")
		l.ends[n] = e
		n.under = []string{"ip", "netns", "exec", e.namespace}
	}
	return l
}

func (l *lan) wire() string { return l.name + "-w" }

func (l *lan) namespace(t testing.TB, name string) {
	t.Helper()
	ip(t, "netns", "add", name)
	t.Cleanup(func() { ip(t, "netns", "del", name) })
}

// addresses are where the nodes of the site are to listen.
func (l *lan) addresses(s *site) (all []addresses) {
	for _, n := range s.nodes {
		any := netip.AddrPortFrom(l.ends[n].address, 0).String()
		all = append(all, addresses{any, any, any})
	}
	return all
}

// deaf keeps node from hearing others; what it says still reaches them. match narrows it to some packets, in iptables' words.
func (l *lan) deaf(t testing.TB, n *node, others []*node, match ...string) {
	t.Helper()
	for _, other := range others {
		l.iptables(t, n, append(append([]string{"-A", "INPUT", "-s", l.ends[other].address.String()}, match...), "-j", "DROP")...)
	}
}

// mute keeps others from hearing node; what they say still reaches it.
func (l *lan) mute(t testing.TB, n *node, others []*node) {
	t.Helper()
	for _, other := range others {
		l.deaf(t, other, []*node{n})
	}
}

// heal lets all nodes hear each other.
func (l *lan) heal(t testing.TB) {
	t.Helper()
	for n := range l.ends {
		l.iptables(t, n, "-F", "INPUT")
	}
}

// dropped counts the packets that a node did not get to hear since it was made deaf.
func (l *lan) dropped(t testing.TB, n *node) (packets int) {
	t.Helper()
	for _, m := range dropRule.FindAllStringSubmatch(l.iptables(t, n, "-L", "INPUT", "-v", "-x", "-n"), -1) {
		count, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		packets += count
	}
	return packets
}

var dropRule = regexp.MustCompile(`(?m)^\s*(\d+)\s+\d+\s+DROP\s`)

func (l *lan) iptables(t testing.TB, n *node, args ...string) string {
	t.Helper()
	return ip(t, append([]string{"netns", "exec", l.ends[n].namespace, "iptables", "-w"}, args...)...)
}

// cannotReach asserts that nothing at one node can connect to another.
func (l *lan) cannotReach(t testing.TB, from, to *node) {
	t.Helper()
	got := run(t, nil, from.catalyst("status", "--address", to.at.RPC, "--timeout", "1s")...)
	if got.status != 3 {
		t.Errorf("%s was cut off from %s and reached it: %+v", from.id, to.id, got)
	}
}
