package transport

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var update = flag.Bool("update", false, "write what the sessions say into the golden files")

// TestConversations replays testdata/conversations: what a peer says (>) and
// what the session answers (<), message by message. A file named after an
// entry of initiatives starts with what that does.
func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/conversations/*.golden")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".golden")
		t.Run(name, func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got []byte
			synctest.Test(t, func(t *testing.T) { got = converse(t, name, want) })
			if bytes.Equal(got, want) {
				return
			}
			if !*update {
				t.Fatalf("the conversation went\n%s\nwant\n%s", got, want)
			}
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// converse says the peer's lines and writes the session's anew.
func converse(t *testing.T, name string, script_ []byte) []byte {
	w := script(t, Config{Main: storyteller()})
	if start := initiatives[name]; start != nil {
		go start(t, w.s.Main())
	}
	var record bytes.Buffer
	answers := func() {
		time.Sleep(time.Hour) // what takes time is done
		for {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			m, err := w.conn.Read(ctx)
			cancel()
			if err != nil {
				return
			}
			record.WriteString("< " + string(m) + "\n")
		}
	}
	for line := range strings.Lines(string(script_)) {
		switch {
		case strings.HasPrefix(line, "> "):
			w.say(strings.TrimSpace(line[2:]))
			record.WriteString(line)
		case strings.HasPrefix(line, "< "):
			continue
		case line == "\n":
			answers()
			record.WriteString(line)
		default:
			record.WriteString(line)
		}
	}
	answers()
	return record.Bytes()
}

// storyteller is the main object of all conversations.
func storyteller() *Target {
	var kept *Stub
	counter := func(n float64) *Target {
		return NewTarget(map[string]Method{
			"add": func(_ context.Context, c *Call) (any, error) {
				var by float64
				err := c.Decode(0, &by)
				n += by
				return n, err
			},
		})
	}
	return NewTarget(map[string]Method{
		"echo":    func(_ context.Context, c *Call) (any, error) { return c.Arg(0), nil },
		"join":    func(_ context.Context, c *Call) (any, error) { return []any{c.Arg(0), c.Arg(1)}, nil },
		"counter": func(context.Context, *Call) (any, error) { return counter(10), nil },
		"late": func(context.Context, *Call) (any, error) {
			time.Sleep(time.Second)
			return map[string]any{"counter": counter(20), "name": "late"}, nil
		},
		"list": func(context.Context, *Call) (any, error) {
			return []map[string]any{{"id": 1, "name": "one"}, {"id": 2, "name": "two"}}, nil
		},
		"fail": func(context.Context, *Call) (any, error) {
			return nil, &Error{Name: "RangeError", Message: "out of range", Props: map[string]any{"code": "too_large", "cause": errors.New("why")}}
		},
		"call": func(ctx context.Context, c *Call) (any, error) {
			f, err := c.Stub(0)
			if err != nil {
				return nil, err
			}
			return f.Call("", c.Arg(1)).Await(ctx)
		},
		"keep": func(_ context.Context, c *Call) (any, error) {
			f, err := c.Stub(0)
			if err == nil {
				kept = f.Dup()
			}
			return nil, err
		},
		"tell": func(_ context.Context, c *Call) (any, error) { return kept.Call("tell", c.Arg(0)), nil },
		"drop": func(context.Context, *Call) (any, error) { kept.Release(); return nil, nil },
		"values": func(context.Context, *Call) (any, error) {
			return []any{
				nil, true, 1.5, "text", Undefined{}, math.Inf(1), math.Inf(-1), math.NaN(), big.NewInt(-7),
				time.UnixMilli(5), time.Time{}, []byte("bytes"), Bytes{Kind: "ArrayBuffer", Data: []byte{1}},
				[]any{}, map[string]any{}, errors.New("as a value"),
			}, nil
		},
	})
}

// initiatives are what the session's own side does.
var initiatives = map[string]func(t *testing.T, main *Stub){
	"client-call": func(t *testing.T, main *Stub) {
		v, err := main.Call("add", 1, "two", []any{3}).Await(t.Context())
		if v != 3.0 || err != nil {
			t.Errorf("got %v, %v", v, err)
		}
	},
	"client-pipelining": func(t *testing.T, main *Stub) {
		scope := main.Call("login", "secret")
		name := scope.Call("list", map[string]any{"q": 1}).Get("items", 0, "name")
		scope.Release()
		v, err := name.Await(t.Context())
		if v != "first" || err != nil {
			t.Errorf("got %v, %v", v, err)
		}
		main.Call("add", main.Call("one"), name).Release()
	},
	"client-map": func(t *testing.T, main *Stub) {
		v, err := main.Call("list").Map(func(i *Item) any {
			return map[string]any{"label": i.Capture(main).Call("label", i.Get("id")), "id": i.Get("id")}
		}).Await(t.Context())
		if err != nil || len(v.([]any)) != 1 {
			t.Errorf("got %v, %v", v, err)
		}
	},
	"client-stubs": func(t *testing.T, main *Stub) {
		f := NewFunc(func(_ context.Context, c *Call) (any, error) { return []any{"got", c.Arg(0)}, nil })
		v, err := main.Call("subscribe", f, map[string]any{"again": f}).Await(t.Context())
		if err != nil {
			t.Errorf("got %v", err)
			return
		}
		stub := v.(map[string]any)["subscription"].(*Stub)
		second := stub.Dup()
		stub.Release()
		_, err = second.Call("pause").Await(t.Context())
		if e := (*Error)(nil); !errors.As(err, &e) || e.Code() != "no" {
			t.Errorf("got %v", err)
		}
		second.Release()
	},
}
