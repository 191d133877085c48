package clustertests

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// peer is a program of js/ that serves GraphQL, across its restarts on one port.
type peer struct {
	owner   testing.TB
	program string
	flags   []string
	port    int
	log     *os.File
	*process
}

// startPeer runs a program of js/ on the given port, 0 for any.
func startPeer(t testing.TB, port int, program string, flags ...string) *peer {
	t.Helper()
	p := &peer{owner: t, program: program, flags: flags, port: port, log: newLog(t, program)}
	p.start(t)
	return p
}

func startService(t testing.TB, port int, kind string, flags ...string) *peer {
	t.Helper()
	return startPeer(t, port, "service.mjs", append(flags, "--kind", kind)...)
}

// start runs the peer, on the port it had before if it had one, and waits until it listens.
func (p *peer) start(t testing.TB, flags ...string) {
	t.Helper()
	args := []string{filepath.Join(programs.js, p.program), "--port", strconv.Itoa(p.port), "--exit-with-stdin"}
	cmd := exec.Command("node", append(append(args, p.flags...), flags...)...)
	cmd.Env = cleanEnvironment()
	cmd.Stderr = p.log
	if _, err := cmd.StdinPipe(); err != nil { // held open while the test binary lives
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	listening := make(chan []byte, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadBytes('\n')
		listening <- line
	}()
	p.process = launch(t, p.owner, cmd)
	var at struct{ Port int }
	if err := json.Unmarshal(<-listening, &at); err != nil {
		t.Fatalf("%s %v: its first line is not JSON: %v", p.program, flags, err)
	}
	p.port = at.Port
}

func (p *peer) graphql() string { return fmt.Sprintf("http://127.0.0.1:%d/graphql", p.port) }

// channel is how the service is registered under a name.
func (p *peer) channel(name string) dataChannel {
	return dataChannel{Name: name, Endpoint: p.graphql(), Protocol: "http:graphql"}
}

// gateway is the reference GraphQL gateway (js/gateway.mjs).
type gateway struct{ *peer }

func startGateway(t testing.TB, flags ...string) gateway {
	t.Helper()
	return gateway{startPeer(t, 0, "gateway.mjs", flags...)}
}

func (g gateway) api() string { return fmt.Sprintf("ws://127.0.0.1:%d/api", g.port) }

// configs is what a gateway tells of itself: what it serves, and each list it got since it started.
type configs struct {
	Sessions, Count int
	Serving         []endpoint
	Received        []struct {
		Services []endpoint
		Success  bool
		Error    string
	}
}

type endpoint struct{ Name, URL string }

func (g gateway) configs() (configs, error) {
	response, err := web.Get(fmt.Sprintf("http://127.0.0.1:%d/configs", g.port))
	if err != nil {
		return configs{}, err
	}
	defer response.Body.Close()
	var c configs
	return c, json.NewDecoder(response.Body).Decode(&c)
}

// serves waits until the gateway serves exactly the services of these names.
func (g gateway) serves(t testing.TB, names ...string) configs {
	t.Helper()
	slices.Sort(names)
	var c configs
	eventually(t, fmt.Sprintf("the gateway serves %v", names), func() (err error) {
		if c, err = g.configs(); err != nil {
			return err
		}
		var serving []string
		for _, e := range c.Serving {
			serving = append(serving, e.Name)
		}
		slices.Sort(serving)
		if c.Count == 0 || !slices.Equal(serving, names) {
			return fmt.Errorf("it serves %v after %d lists", serving, c.Count)
		}
		return nil
	})
	return c
}

// asks sends a GraphQL query and returns the data, which must have come without errors.
func (g gateway) asks(t testing.TB, text string) map[string]json.RawMessage {
	t.Helper()
	data, err := ask(g.graphql(), text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// ask posts a query and returns the data, which must come without errors.
func ask(url, text string) (map[string]json.RawMessage, error) {
	body, err := json.Marshal(map[string]string{"query": text})
	if err != nil {
		return nil, err
	}
	response, err := web.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", text, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	var parsed struct {
		Data   map[string]json.RawMessage
		Errors json.RawMessage
	}
	if err := json.Unmarshal(answer, &parsed); err != nil || response.StatusCode != http.StatusOK || parsed.Errors != nil {
		return nil, fmt.Errorf("query %s: %s: %s (%v)", text, response.Status, answer, err)
	}
	return parsed.Data, nil
}
