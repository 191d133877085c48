package clustertests

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestTourOfTheREADME does what a new user is told to: one command for a whole site, two services registered at a
// follower and queried through the gateway, the leader killed, and on it goes.
func TestTourOfTheREADME(t *testing.T) {
	g := startGateway(t)
	books, pokemon := startService(t, 0, "books"), startService(t, 0, "pokemon")
	d := startDev(t, "--nodes", "3", "--port", "0", "--gateway-endpoint", g.api())
	follower := d.nodes[0]
	if follower.leads {
		follower = d.nodes[1]
	}

	at := func(want int, args ...string) ran {
		t.Helper()
		got := cli(t, []string{"CATALYST_ADDR=" + d.all}, args...)
		if got.status != want {
			t.Fatalf("catalyst %s: %+v, want exit status %d", strings.Join(args, " "), got, want)
		}
		return got
	}
	for name, p := range map[string]*peer{"books": books, "pokemon": pokemon} {
		if got := at(0, "service", "add", name, p.graphql(), "--address", follower.url); !strings.Contains(got.stdout, "applied") {
			t.Errorf("service add %s does not say that the gateway applied it: %s", name, got.stdout)
		}
	}
	answersAcross(t, g)

	d.killLeader(t)
	at(0, "service", "add", "more", books.graphql())
	g.serves(t, "books", "more", "pokemon")
	answersAcross(t, g)
	list := decode[routes](t, []byte(at(0, "service", "list", "-o", "json").stdout))
	if len(list.Routes) != 3 {
		t.Errorf("after the leader was killed: %s", asJSON(list))
	}

	d.signal(t, syscall.SIGINT)
	if status := d.await(t); status != 0 {
		t.Errorf("catalyst dev after ctrl-C: exit status %d, want 0", status)
	}
	for _, n := range d.nodes {
		n.isGone(t)
	}
}

// dev is a running `catalyst dev`, as its banner describes it.
type dev struct {
	*process
	all   string // what the banner has the user put into CATALYST_ADDR
	nodes []devNode
}

type devNode struct {
	url, address string
	pid          int
	leads        bool
}

var (
	nodeInBanner    = regexp.MustCompile(`(ws://(\S+)/rpc)\s+pid (\d+)(\s+leader)?`)
	addressInBanner = regexp.MustCompile(`export CATALYST_ADDR=(\S+)`)
)

func startDev(t *testing.T, flags ...string) *dev {
	t.Helper()
	banner, log := newLog(t, "banner"), newLog(t, "dev")
	cmd := exec.Command(programs.catalyst, append([]string{"dev"}, flags...)...)
	cmd.Dir = t.TempDir()
	cmd.Env = cleanEnvironment()
	cmd.Stdout, cmd.Stderr = banner, log
	d := &dev{process: launch(t, t, cmd)}
	var text string
	eventually(t, "the banner of catalyst dev ends with commands to try", func() error {
		if !d.running() {
			t.Fatalf("catalyst dev ended: %s", tail(log.Name(), 4<<10))
		}
		text = string(tail(banner.Name(), 1<<20))
		if !strings.Contains(text, "route watch") {
			return fmt.Errorf("so far: %s", text)
		}
		return nil
	})
	if lines := strings.Count(text, "\n"); lines > 12 {
		t.Errorf("the banner has %d lines, want at most 12:\n%s", lines, text)
	}
	if found := addressInBanner.FindStringSubmatch(text); found != nil {
		d.all = found[1]
	}
	for _, m := range nodeInBanner.FindAllStringSubmatch(text, -1) {
		pid, err := strconv.Atoi(m[3])
		if err != nil {
			t.Fatal(err)
		}
		d.nodes = append(d.nodes, devNode{url: m[1], address: m[2], pid: pid, leads: m[4] != ""})
	}
	if d.all == "" || len(d.nodes) != 3 {
		t.Fatalf("the banner names no addresses, or not three nodes:\n%s", text)
	}
	return d
}

// killLeader does what the banner's kill -9 line says.
func (d *dev) killLeader(t *testing.T) {
	t.Helper()
	for _, n := range d.nodes {
		if n.leads {
			if err := syscall.Kill(n.pid, syscall.SIGKILL); err != nil {
				t.Fatalf("kill -9 %d: %v", n.pid, err)
			}
			n.isGone(t)
			return
		}
	}
	t.Fatal("the banner names no leader")
}

func (n devNode) isGone(t *testing.T) {
	t.Helper()
	eventually(t, "nothing listens at "+n.address, func() error {
		conn, err := net.Dial("tcp", n.address)
		if err != nil {
			return nil
		}
		conn.Close()
		return errors.New("something does")
	})
}
