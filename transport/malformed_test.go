package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
)

// violations are conversations that must end with an abort that says why.
var violations = []struct {
	name     string
	messages []string
	reason   string
}{
	{"nothing", []string{``}, "bad RPC message"},
	{"not JSON", []string{`hello`}, "bad RPC message"},
	{"half a message", []string{`["push",["pipeline",0,["echo"],[1]`}, "bad RPC message"},
	{"more after a message", []string{`["pull",1] ["pull",1]`}, "bad RPC message"},
	{"not an array", []string{`{"push":1}`}, "bad RPC message"},
	{"an empty array", []string{`[]`}, "bad RPC message"},
	{"invalid UTF-8", []string{"[\"push\",\"\xff\"]"}, "not UTF-8"},
	{"a control character", []string{"[\"push\",\"\x01\"]"}, "control character"},
	{"a bad escape", []string{`["push","\x"]`}, "an escape"},
	{"a bad number", []string{`["push",01]`}, "bad RPC message"},
	{"a bare dot", []string{`["push",1.]`}, "a digit"},
	{"a bare minus", []string{`["push",-]`}, "a digit"},
	{"a bad exponent", []string{`["push",1e+]`}, "a digit"},
	{"a misspelt word", []string{`["push",nul]`}, "bad RPC message"},
	{"a trailing comma", []string{`["push",{"a":1,}]`}, "bad RPC message"},
	{"an unknown message", []string{`["hello",1]`}, `bad RPC message: unknown kind "hello"`},
	{"an unknown expression", []string{`["push",["hello",1]]`}, `unknown expression "hello"`},
	{"a bare array", []string{`["push",[1,2]]`}, "an array in an array"},
	{"a bare empty array", []string{`["push",[]]`}, "an array in an array"},
	{"an array not closed twice", []string{`["push",[[1],2]]`}, "bad RPC message"},
	{"a pipe with something in it", []string{`["pipe",1]`}, "bad RPC message"},
	{"a stream of nothing", []string{`["stream"]`}, "bad RPC message"},
	{"a stream that is no pipe", []string{`["push",["readable",0]]`}, "id 0 is not a pipe"},
	{"a stream of an unknown id", []string{`["push",["readable",9]]`}, "no object or result with id 9"},
	{"a stream passed twice", []string{`["pipe"]`, `["push",[[["readable",1],["readable",1]]]]`}, "was passed before"},
	{"a release of what was streamed", []string{`["stream",["pipeline",0,["echo"],[]]]`, `["pull",1]`, `["release",1,2]`}, "id 1"},
	{"a sink with our id", []string{`["push",["writable",3]]`}, "ids are negative"},
	{"a blob without a stream", []string{`["push",["blob","text/plain","abc"]]`}, "a blob's content is a stream, not a string"},
	{"a URL that is not absolute", []string{`["push",["url","a/b"]]`}, "not absolute"},
	{"a header without a name", []string{`["push",["headers",[["","x"]]]]`}, "not the name of a header"},
	{"a header of two lines", []string{`["push",["headers",[["a","x\r\ny"]]]]`}, "more than one line"},
	{"headers that are no pairs", []string{`["push",["headers",[["a"]]]]`}, "bad RPC message"},
	{"a request without the rest", []string{`["push",["request","http://a/"]]`}, "bad RPC message"},
	{"a request with a body of numbers", []string{`["push",["request","http://a/",{"body":[[1]]}]]`}, "a body is a string, bytes or a stream, not an array"},
	{"a response with a status of text", []string{`["push",["response",null,{"status":"ok"}]]`}, "bad RPC message"},
	{"a call of an unknown id", []string{`["push",["pipeline",7,["echo"],[]]]`}, "no object or result with id 7"},
	{"an argument of an unknown id", []string{`["push",["pipeline",0,["echo"],[["import",-7]]]]`}, "no object or result with id -7"},
	{"a pull of an unknown id", []string{`["pull",1]`}, "no object or result with id 1"},
	{"a pull after release", []string{`["push",1]`, `["release",1,1]`, `["pull",1]`}, "no object or result with id 1"},
	{"a release of an unknown id", []string{`["release",5,1]`}, "no object or result with id 5"},
	{"too many releases", []string{`["push",1]`, `["release",1,2]`}, "by 2, which has 1"},
	{"a negative release", []string{`["push",1]`, `["release",1,-1]`}, "by -1, which has 1"},
	{"an id that is no number", []string{`["pull","1"]`}, "a whole number"},
	{"an id that is not whole", []string{`["pull",1.5]`}, "a whole number"},
	{"an id beyond 2^53", []string{`["pull",1e300]`}, "a whole number"},
	{"an outcome not asked for", []string{`["resolve",1,null]`}, "not asked for"},
	{"an outcome for the main object", []string{`["resolve",0,null]`}, "not a promise"},
	{"an outcome for a stub", []string{`["push",["export",-1]]`, `["resolve",-1,1]`}, "not a promise"},
	{"an export with our id", []string{`["push",["export",3]]`}, "ids are negative"},
	{"a promise that reuses an id", []string{`["push",[[["export",-1],["promise",-1]]]]`}, "in use"},
	{"a path that is no array", []string{`["push",["pipeline",0,"echo",[]]]`}, "bad RPC message"},
	{"a path with an object", []string{`["push",["pipeline",0,[{}],[]]]`}, "a property's name or number"},
	{"arguments that are no array", []string{`["push",["pipeline",0,["echo"],{}]]`}, "bad RPC message"},
	{"too many parts of a call", []string{`["push",["pipeline",0,["echo"],[],1]]`}, "bad RPC message"},
	{"a bigint that is no number", []string{`["push",["bigint","0x10"]]`}, "not a decimal number"},
	{"an empty bigint", []string{`["push",["bigint",""]]`}, "not a decimal number"},
	{"a huge bigint", []string{`["push",["bigint","` + strings.Repeat("9", 16385) + `"]]`}, "more than 16384 digits"},
	{"a date of another type", []string{`["push",["date","today"]]`}, "milliseconds or null"},
	{"bytes that are not base64", []string{`["push",["bytes","%%"]]`}, "not base64"},
	{"bytes of an unknown kind", []string{`["push",["bytes","AAAA","Float16Array"]]`}, "unknown kind of bytes"},
	{"half an element", []string{`["push",["bytes","AAAA","Float64Array"]]`}, "not a whole number of Float64Array elements"},
	{"an error without message", []string{`["push",["error","E"]]`}, "bad RPC message"},
	{"an error with bad properties", []string{`["push",["error","E","m",null,[[]]]]`}, "an error's properties"},
	{"a map without instructions", []string{`["push",["remap",0,[],[],[]]]`}, "a map without instructions"},
	{"a map with a bad capture", []string{`["push",["remap",0,[],[["promise",1]],[1]]]`}, "a map captures imports and exports"},
	{"a map of malformed instructions", []string{`["push",["remap",0,[],[],[tru]]]`}, "bad RPC message"},
	{"deep nesting", []string{`["push",` + strings.Repeat(`{"a":`, 300) + `1` + strings.Repeat(`}`, 300) + `]`}, "nests deeper than 256"},
	{"deep arrays", []string{`["push",` + strings.Repeat(`[`, 1_000_000)}, "nests deeper than 256"},
	{"deep nesting in a map", []string{`["push",["remap",0,[],[],[` + strings.Repeat(`[`, 300) + `]]]`}, "too deep"},
	{"a long message", []string{`["push","` + strings.Repeat("x", 5<<20) + `"]`}, "at most 4194304 are accepted"},
}

// TestAViolationAbortsItsSession also checks that the session leaves nothing
// behind and that another session of the same main object goes on.
func TestAViolationAbortsItsSession(t *testing.T) {
	for _, v := range violations {
		t.Run(v.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				main := echo()
				other, _ := pair(t, Config{}, Config{Main: main})
				w := script(t, Config{Main: main})
				w.say(v.messages...)
				err := <-w.err
				if err == nil || !strings.Contains(err.Error(), v.reason) || !errors.Is(err, ErrBroken) {
					t.Errorf("the session ended with %v, want %q", err, v.reason)
				}
				w.expectAbort(v.reason)
				if got := w.s.Stats(); got.Exports+got.Imports+got.Running != 0 {
					t.Errorf("left over: %+v", got)
				}
				if got := must[string](t, other.Main().Call("echo", "alive")); got != "alive" {
					t.Errorf("the other session: got %q", got)
				}
			})
		})
	}
}

// expectAbort reads up to the abort that must be the last message.
func (w *wire) expectAbort(reason string) {
	w.t.Helper()
	for {
		m, err := w.conn.Read(context.Background())
		if err == io.EOF {
			w.t.Error("hung up without an abort")
			return
		}
		var parts []any
		if err := json.Unmarshal(m, &parts); err != nil {
			w.t.Errorf("sent %s: %v", m, err)
		}
		if parts[0] != "abort" {
			continue
		}
		if text := fmt.Sprint(parts[1]); !strings.Contains(text, reason) {
			w.t.Errorf("the abort says %s, want %q", text, reason)
		}
		if next := w.hear(); next != "" {
			w.t.Errorf("after the abort came %s", next)
		}
		return
	}
}

// TestAValidMessageRejectsOnlyItsCall has messages that are well formed and
// calls that are not.
func TestAValidMessageRejectsOnlyItsCall(t *testing.T) {
	typed := NewTarget(map[string]Method{
		"typed": func(_ context.Context, c *Call) (any, error) {
			var v struct {
				Data struct {
					Endpoint string `json:"endpoint"`
				} `json:"data"`
			}
			return v.Data.Endpoint, c.Decode(0, &v)
		},
		"stub": func(_ context.Context, c *Call) (any, error) { _, err := c.Stub(1); return nil, err },
	})
	for _, c := range []struct{ push, reject string }{
		{`["pipeline",0,["foo"],[]]`, `["error","TypeError","no method \"foo\" on this target"]`},
		{`["pipeline",0,["typed"],[{"data":{"endpoint":7}}]]`, `["error","TypeError","argument 1: data.endpoint: want a string, got a number"]`},
		{`["pipeline",0,["typed"],[[[]]]]`, `["error","TypeError","argument 1: want an object, got an array"]`},
		{`["pipeline",0,["stub"],[1,"f"]]`, `["error","TypeError","argument 2: want a stub or function, got a string"]`},
		{`["pipeline",0,["typed"],[["url","http://a/"]]]`, `["error","TypeError","argument 1: want an object, got a URL"]`},
		{`["pipeline",0,["typed"],[["headers",[["a","b"]]]]]`, `["error","TypeError","argument 1: want an object, got headers"]`},
		{`["remap",0,[],[],[["pipeline",3,["x"]]]]`, `["error","TypeError","map: no value 3 in this map"]`},
		{`["remap",0,[],[],[["export",-1]]]`, `["error","TypeError","map: a map cannot introduce objects"]`},
		{`["import",0]`, ``},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := script(t, Config{Main: typed})
			w.say(`["push",`+c.push+`]`, `["pull",1]`)
			if c.reject != "" {
				w.expect(`["reject",1,` + c.reject + `]`)
			} else {
				w.expect(`["resolve",1,["export",-1]]`)
			}
			w.say(`["push",1]`, `["pull",2]`)
			w.expect(`["resolve",2,1]`)
		})
	}
}
