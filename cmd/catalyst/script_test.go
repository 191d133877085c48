package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"catalyst": main})
}

// TestScripts runs testdata/script against a site of the nodes a and b, whose
// addresses are $A and $B. Nobody listens at
// $DEAD, and $ELSEWHERE is no node.
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
	return nil
}

func siteOf(ts *testscript.TestScript) *scriptSite { return ts.Value(siteKey{}).(*scriptSite) }

// node NAME token TOKEN|rejects CODE...|drops N|stops
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
