package clustertests

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// driver is the node process that holds npm's capnweb for one test (js/driver.mjs). Its methods may be called from
// several goroutines.
type driver struct {
	in   io.Writer
	mu   sync.Mutex // guards what follows, and the order of lines on in
	next int
	open map[int]chan reply
	gone error
}

type reply struct {
	ID    int             `json:"id"`
	Value json.RawMessage `json:"value"`
	Error *failure        `json:"error"`
}

// args are a command's arguments beside op.
type args map[string]any

// startDriver runs a driver; env is more of its environment.
func startDriver(t testing.TB, env ...string) *driver {
	t.Helper()
	cmd := exec.Command("node", filepath.Join(programs.js, "driver.mjs"))
	cmd.Env = cleanEnvironment(env...)
	cmd.Stderr = newLog(t, "driver")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d := &driver{in: in, open: map[int]chan reply{}}
	read := make(chan struct{})
	t.Cleanup(func() { <-read })
	launch(t, t, cmd)
	go func() {
		defer close(read)
		d.read(out)
	}()
	return d
}

func (d *driver) read(out io.Reader) {
	lines := json.NewDecoder(bufio.NewReaderSize(out, 1<<20))
	for {
		var r reply
		if err := lines.Decode(&r); err != nil {
			d.end(fmt.Errorf("the driver ended: %w", err))
			return
		}
		d.mu.Lock()
		waiter := d.open[r.ID]
		delete(d.open, r.ID)
		d.mu.Unlock()
		waiter <- r
	}
}

func (d *driver) end(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = err
	for id, waiter := range d.open {
		delete(d.open, id)
		waiter <- reply{Error: &failure{Name: "DriverEnded", Message: err.Error()}}
	}
}

// send writes one command and returns where its answer will come.
func (d *driver) send(op string, a args) (<-chan reply, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone != nil {
		return nil, d.gone
	}
	d.next++
	line := map[string]any{"id": d.next, "op": op}
	for name, value := range a {
		line[name] = value
	}
	text, err := json.Marshal(line)
	if err != nil {
		return nil, err
	}
	waiter := make(chan reply, 1)
	d.open[d.next] = waiter
	_, err = d.in.Write(append(text, '\n'))
	return waiter, err
}

// ask sends one command and decodes its answer into dst, unless that is nil. A rejection is a *failure.
func (d *driver) ask(op string, a args, dst any) error {
	waiter, err := d.send(op, a)
	if err != nil {
		return err
	}
	select {
	case r := <-waiter:
		if r.Error != nil {
			return r.Error
		}
		if dst == nil {
			return nil
		}
		return json.Unmarshal(r.Value, dst)
	case <-time.After(patience):
		return &failure{Name: "TimeoutError", Message: op + ": no answer within " + patience.String()}
	}
}

// must is ask for commands that cannot fail.
func (d *driver) must(t testing.TB, op string, a args, dst any) {
	t.Helper()
	if err := d.ask(op, a, dst); err != nil {
		t.Fatalf("%s: %v", op, err)
	}
}

// name gives a name that this driver has not used.
func (d *driver) name(prefix string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next++
	return prefix + strconv.Itoa(d.next)
}

// step is one link of a pipelined chain; see js/chains.mjs.
type step map[string]any

func call(method string, arguments ...any) step {
	if arguments == nil {
		arguments = []any{}
	}
	return step{"call": method, "args": arguments}
}

func get(property string) step { return step{"get": property} }

func mapTo(shape any) step { return step{"map": shape} }

// outcome is what one chain of a batch came to.
type outcome struct {
	Value json.RawMessage `json:"value"`
	Error *failure        `json:"error"`
}

// batch sends all chains as one HTTP batch and counts the HTTP requests that took.
func (d *driver) batch(url string, chains ...[]step) (outcomes []outcome, requests int, err error) {
	var answer struct {
		Requests int
		Results  []outcome
	}
	err = d.ask("batch", args{"url": url, "chains": chains}, &answer)
	return answer.Results, answer.Requests, err
}

// once makes one call over an HTTP batch of its own, so that nothing of an earlier session can matter.
func once[T any](d *driver, url string, chain ...step) (T, error) {
	var value T
	outcomes, _, err := d.batch(url, chain)
	if err != nil {
		return value, err
	}
	if outcomes[0].Error != nil {
		return value, outcomes[0].Error
	}
	return value, json.Unmarshal(outcomes[0].Value, &value)
}
