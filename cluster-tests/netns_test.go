package clustertests

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// network is a network namespace for each of two sites and a wire between them that can be cut. The test reaches both by
// links of their own, so a cut is between the sites alone.
type network struct {
	name string
	ends [2]end
}

// end is the namespace of one site.
type end struct {
	namespace string
	address   netip.Addr // where its nodes listen
	port      string     // the wire's end, in the namespace of the wire
}

// newNetwork makes three namespaces: one for each site, and one for the bridge that is the wire. Their names and addresses
// come from this process's id, so that runs do not meet.
func newNetwork(t testing.TB) *network {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Fatalf("this test cuts networks with ip of iproute2: apt-get install -y iproute2 (%v)", err)
	}
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces: run it as root")
	}
	w := &network{name: fmt.Sprintf("cat%d", os.Getpid())}
	w.namespace(t, w.wire())
	ip(t, "-n", w.wire(), "link", "add", "bridge", "type", "bridge")
	ip(t, "-n", w.wire(), "link", "set", "bridge", "up")
	for i := range w.ends {
		w.ends[i] = w.lay(t, i)
	}
	return w
}

func (w *network) wire() string { return w.name + "-wire" }

func (w *network) namespace(t testing.TB, name string) {
	t.Helper()
	ip(t, "netns", "add", name)
	t.Cleanup(func() { ip(t, "netns", "del", name) })
}

// lay makes one end: a link to the wire, and another to the test, over which the test reaches the address on the wire.
func (w *network) lay(t testing.TB, i int) end {
	t.Helper()
	block := netip.AddrFrom4([4]byte{198, 18, byte(os.Getpid() >> 4), byte(os.Getpid() << 4)}) // 16 addresses of RFC 2544's
	at := func(offset int) netip.Addr {
		bytes := block.As4()
		bytes[3] += byte(offset)
		return netip.AddrFrom4(bytes)
	}
	e := end{namespace: fmt.Sprintf("%s-%d", w.name, i), address: at(8 + 1 + i), port: fmt.Sprint("port", i)}
	here, there, link := at(4*i+1), at(4*i+2), fmt.Sprintf("%s-%d", w.name, i)

	w.namespace(t, e.namespace)
	ip(t, "-n", e.namespace, "link", "set", "lo", "up")
	ip(t, "-n", w.wire(), "link", "add", e.port, "type", "veth", "peer", "name", "wire", "netns", e.namespace)
	ip(t, "-n", w.wire(), "link", "set", e.port, "master", "bridge", "up")
	ip(t, "-n", e.namespace, "addr", "add", e.address.String()+"/30", "dev", "wire")
	ip(t, "-n", e.namespace, "link", "set", "wire", "up")

	ip(t, "link", "add", link, "type", "veth", "peer", "name", "test", "netns", e.namespace)
	t.Cleanup(func() { ip(t, "link", "del", link) })
	ip(t, "addr", "add", here.String()+"/30", "dev", link)
	ip(t, "link", "set", link, "up")
	ip(t, "-n", e.namespace, "addr", "add", there.String()+"/30", "dev", "test")
	ip(t, "-n", e.namespace, "link", "set", "test", "up")
	ip(t, "route", "add", e.address.String(), "via", there.String(), "dev", link)
	return e
}

// inNamespaces starts two sites of three nodes, each in a namespace of its own.
func inNamespaces(t testing.TB, flags ...string) (w *network, rome, oslo *site) {
	t.Helper()
	w = newNetwork(t)
	return w, startIn(t, w.ends[0], "rome", 3, flags...), startIn(t, w.ends[1], "oslo", 3, flags...)
}

// startIn starts a site in a namespace. Its nodes listen beyond loopback, so it wants a token.
func startIn(t testing.TB, e end, name string, size int, flags ...string) *site {
	t.Helper()
	s := newSite(t, name, size, append([]string{"--gateway-endpoint="}, flags...)...)
	s.token = []any{"admin-of-" + name + unprintable}
	for _, n := range s.nodes {
		n.env = append(n.env, fmt.Sprint("CATALYST_ADMIN_TOKEN=", s.token[0]))
		n.under = []string{"ip", "netns", "exec", e.namespace}
	}
	any := netip.AddrPortFrom(e.address, 0).String()
	s.start(t, addresses{any, any, any})
	return s
}

// cut takes the wire down at one end, and heal up again.
func (w *network) cut(t testing.TB)  { w.set(t, "down", "DOWN") }
func (w *network) heal(t testing.TB) { w.set(t, "up", "UP") }

// set asserts that the link is in the state that it was told to be in.
func (w *network) set(t testing.TB, to, state string) {
	t.Helper()
	ip(t, "-n", w.wire(), "link", "set", w.ends[0].port, to)
	eventually(t, "the wire is "+to, func() error {
		if shown := ip(t, "-n", w.wire(), "-o", "link", "show", w.ends[0].port); !strings.Contains(shown, "state "+state) {
			return fmt.Errorf("ip shows %s", shown)
		}
		return nil
	})
}

func ip(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
