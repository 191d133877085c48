package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/catalyst/orchestrator/trust"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"catalyst": func() { os.Exit(run(fakeFiles{})) }})
}

// TestScripts runs testdata/script against a site of the nodes a and b, whose
// addresses are $A and $B. Nobody listens at
// $DEAD, and $ELSEWHERE is no node. $SECURE is host:port of a node that speaks
// TLS; ca.pem holds its authority, $TOKEN and $JOIN carry its fingerprint,
// $OTHER another, $BARE none. $PLAIN and $GONE are host:port of b and of
// nobody.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup:               setUpSite,
		Deadline:            time.Now().Add(2 * time.Minute),
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"node": cmdNode, "gateway": cmdGateway, "applied": cmdApplied, "status": cmdStatus,
			"watched": cmdWatched, "setting": cmdSetting, "event": cmdEvent, "many": cmdMany,
			"site": cmdSite, "status-says": cmdStatusSays, "gateway-says": cmdGatewaySays, "serves": cmdServes,
		},
	})
}

type siteKey struct{}

type scriptSite struct {
	*fakeSite
	nodes map[string]*fakeNode
}

func setUpSite(e *testscript.Env) error {
	s := &scriptSite{fakeSite: newFakeSite(), nodes: map[string]*fakeNode{}}
	for _, name := range []string{"a", "b", "dead"} {
		n := s.node(name)
		s.nodes[name] = n
		e.Vars = append(e.Vars, strings.ToUpper(name)+"="+n.address())
		e.Defer(n.stop)
	}
	s.nodes["dead"].stop()
	e.Vars = append(e.Vars, "CATALYST_ADDR="+s.nodes["a"].address(),
		"ELSEWHERE="+strings.TrimSuffix(s.nodes["a"].address(), "/rpc")+"/elsewhere",
		"GORACE=atexit_sleep_ms=0") // the race detector's default is a second
	e.Values[siteKey{}] = s
	return s.secure(e)
}

// secure adds a node that speaks TLS, and tokens.
func (s *scriptSite) secure(e *testscript.Env) error {
	ours, err := trust.NewAuthority("paris", "5f0c", time.Now())
	if err != nil {
		return err
	}
	n, err := s.secureNode("s", ours)
	if err != nil {
		return err
	}
	s.nodes["s"] = n
	e.Defer(n.stop)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ours.Certificate})
	token := func(kind trust.Kind, pin trust.Pin) string { return trust.NewToken(kind, pin, time.Time{}, 1).Text() }
	e.Vars = append(e.Vars, "SECURE="+n.hostPort(), "PLAIN="+s.nodes["b"].hostPort(), "GONE="+s.nodes["dead"].hostPort(), "TOKEN="+token(trust.ClientToken, ours.Pin()), "JOIN="+token(trust.JoinToken, ours.Pin()),
		"OTHER="+token(trust.ClientToken, trust.PinOf([]byte("another"))), "BARE="+token(trust.ClientToken, trust.Pin{}))
	return os.WriteFile(filepath.Join(e.WorkDir, "ca.pem"), ca, 0o600)
}

func siteOf(ts *testscript.TestScript) *scriptSite { return ts.Value(siteKey{}).(*scriptSite) }

// node NAME token TOKEN|rejects CODE...|drops N|stops|was-shown [TOKEN]
func cmdNode(ts *testscript.TestScript, _ bool, args []string) {
	n := siteOf(ts).nodes[args[0]]
	if args[1] == "stops" {
		n.stop()
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch args[1] {
	case "token":
		n.token = args[2]
	case "was-shown":
		got, _ := n.shown.(string)
		if want := strings.Join(args[2:], ""); got != want {
			ts.Fatalf("the node was shown the token %q, want %q", got, want)
		}
	case "rejects":
		n.rejects = args[2:]
	case "drops":
		nth, err := strconv.Atoi(args[2])
		ts.Check(err)
		n.drops = nth
	default:
		ts.Fatalf("unknown: node %v", args)
	}
}

// gateway STATE is what the site says of its gateway from now on.
func cmdGateway(ts *testscript.TestScript, _ bool, args []string) {
	s := siteOf(ts)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gateway = strings.Join(args, " ")
}

// gateway-says JSON is added to what actions tell of the gateway.
func cmdGatewaySays(ts *testscript.TestScript, _ bool, args []string) {
	s := siteOf(ts)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = map[string]any{}
	ts.Check(json.Unmarshal([]byte(args[0]), &s.said))
}

// site mixed|ill|older|backup TEXT|skew DURATION
func cmdSite(ts *testscript.TestScript, _ bool, args []string) {
	s := siteOf(ts)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch args[0] {
	case "mixed":
		s.mixed = true
	case "ill":
		s.ill = true
	case "older":
		s.older = true
	case "backup":
		s.backup = args[1]
	case "skew":
		skew, err := time.ParseDuration(args[1])
		ts.Check(err)
		s.skew = skew
	default:
		ts.Fatalf("unknown: site %v", args)
	}
}

// status-says JSON is added to what status answers from now on.
func cmdStatusSays(ts *testscript.TestScript, _ bool, args []string) {
	s := siteOf(ts)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.about = map[string]any{}
	ts.Check(json.Unmarshal([]byte(args[0]), &s.about))
}

// applied FILE compares the changes that the site made with a file.
func cmdApplied(ts *testscript.TestScript, _ bool, args []string) {
	s := siteOf(ts)
	s.mu.Lock()
	defer s.mu.Unlock()
	got := strings.Join(s.applied, "\n") + "\n"
	if want := ts.ReadFile(args[0]); got != want {
		ts.Fatalf("the site made the changes\n%swant\n%s", got, want)
	}
}

// status N runs catalyst with the rest and wants it to exit with N.
func cmdStatus(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("catalyst", args[1:]...)
	want := "exit status " + args[0]
	if err == nil || err.Error() != want {
		ts.Fatalf("catalyst %s: %v, want %s", strings.Join(args[1:], " "), err, want)
	}
}

// watched waits until someone watches.
func cmdWatched(ts *testscript.TestScript, _ bool, _ []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := siteOf(ts).awaitWatcher(ctx)
	ts.Check(err)
}

// event TYPE INDEX ID delivers an event and waits until it has been printed.
func cmdEvent(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	w, err := siteOf(ts).awaitWatcher(ctx)
	ts.Check(err)
	index, err := strconv.Atoi(args[1])
	ts.Check(err)
	e := map[string]any{"type": args[0], "index": index}
	if len(args) > 2 {
		e["id"] = args[2]
		e["route"] = fakeRoute(args[2], map[string]any{"name": args[2], "endpoint": "http://" + args[2], "protocol": "http"})
	}
	ts.Check(deliver(ctx, w, e))
}

// many FILE N writes N actions.
func cmdMany(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, `{"resource":"dataChannel","action":"create","data":{"name":"s%05d","endpoint":"http://s%d","protocol":"http"}}`+"\n", i, i)
	}
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("WORK"), args[0]), []byte(text.String()), 0o600))
}

// setting FILE NAME VALUE appends a setting to a file.
func cmdSetting(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer f.Close()
	_, err = fmt.Fprintf(f, "%s=%s\n", args[1], args[2])
	ts.Check(err)
}
