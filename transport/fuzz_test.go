package transport

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// FuzzDecode holds the decoder to a law: what it accepts can be sent again
// and arrives the same.
func FuzzDecode(f *testing.F) {
	for _, c := range encodings {
		f.Add([]byte(c.wire))
	}
	for _, wire := range []string{
		`["url","https://example.com/a?b=%zz#c"]`,
		`["headers",[["content-type","text/plain"],["set-cookie","a=1"],["Set-Cookie","b=2"]]]`,
		`["request","http://a/",{"method":"PUT","headers":[["x-a","1"]],"body":"text","duplex":"half","redirect":"manual","cf":{"a":[1,null]}}]`,
		`["response",["bytes","AAEC"],{"status":404,"statusText":"gone","headers":[["x-b","2"]],"encodeBody":"manual"}]`,
		`["response",null,{}]`,
	} {
		f.Add([]byte(wire))
	}
	for _, v := range violations {
		for _, m := range v.messages {
			if len(m) < 1000 {
				f.Add([]byte(strings.TrimSuffix(strings.TrimPrefix(m, `["push",`), `]`)))
			}
		}
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		if !bytes.Equal(wire, []byte(strings.ToValidUTF8(string(wire), "?"))) {
			return // dispatch has refused it
		}
		v, err := decodeData(wire)
		if err != nil {
			return
		}
		e := encoder{depth: 300}
		if err := e.value(v); err != nil {
			t.Fatalf("%s cannot be sent again: %v", wire, err)
		}
		again, err := decodeData(e.buf)
		if err != nil {
			t.Fatalf("%s became %s: %v", wire, e.buf, err)
		}
		second := encoder{depth: 300}
		if err := second.value(again); err != nil || !bytes.Equal(second.buf, e.buf) {
			t.Fatalf("%s became %s, then %s, %v", wire, e.buf, second.buf, err)
		}
		if !bytes.Contains(e.buf, []byte(`["nan"]`)) && !reflect.DeepEqual(v, again) && !hasNegativeZero(v) {
			t.Fatalf("%s is %#v, and sent again %#v", wire, v, again)
		}
	})
}

// decodeData decodes an expression in which references are refused.
func decodeData(wire []byte) (any, error) {
	s := &Session{limits: Limits{}.withDefaults()}
	d := decoder{scanner: scanner{data: wire, keys: &s.keys}, session: s, scope: nowhere{}, depth: s.limits.Depth, out: &payload{}}
	v, err := d.value()
	if err == nil {
		err = d.end()
	}
	return v, err
}

// nowhere is a scope without objects.
type nowhere struct{}

func (nowhere) lookup(int64) (any, error)        { return nil, violation("nothing here") }
func (nowhere) importStub(int64) (ref, error)    { return nil, violation("nothing here") }
func (nowhere) importPromise(int64) (ref, error) { return nil, violation("nothing here") }

func (nowhere) importStream(int64) (any, error) { return nil, violation("nothing here") }

// hasNegativeZero finds -0, which is sent as 0, as JavaScript does; and stacks,
// which are not sent.
func hasNegativeZero(v any) bool {
	switch v := v.(type) {
	case float64:
		return v == 0
	case []any:
		for _, item := range v {
			if hasNegativeZero(item) {
				return true
			}
		}
	case map[string]any:
		for _, item := range v {
			if hasNegativeZero(item) {
				return true
			}
		}
	case *Error:
		return true
	}
	return false
}

// FuzzSession has a peer that says whatever comes to its mind, a message a
// line. Nothing panics, everything ends, and nothing stays behind.
func FuzzSession(f *testing.F) {
	files, err := filepath.Glob("testdata/conversations/*.golden")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var lines []string
		for line := range strings.Lines(string(text)) {
			if said, ok := strings.CutPrefix(line, "> "); ok {
				lines = append(lines, said)
			}
		}
		f.Add(strings.Join(lines, ""))
	}
	addStreams(f)
	f.Fuzz(func(t *testing.T, messages string) {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := Pipe()
			s := NewSession(ours, Config{Main: streamteller(), Limits: fuzzLimits})
			go func() { _ = s.Run(t.Context()) }()
			for line := range strings.Lines(messages) {
				_ = theirs.Write(t.Context(), []byte(strings.TrimSuffix(line, "\n")))
			}
			time.Sleep(time.Minute)
			_ = theirs.Close(nil)
			<-s.Done()
			expectNothing(t, s)
		})
	})
}

var fuzzLimits = Limits{Calls: 100, Exports: 200, Imports: 200, MapCalls: 1000, HeldBytes: 1 << 20, BufferedBytes: 1 << 20}

func expectNothing(t *testing.T, sessions ...*Session) {
	t.Helper()
	for i, s := range sessions {
		if got := s.Stats(); got.Imports+got.Exports+got.Running != 0 || s.heldBytes != 0 || s.callBytes != 0 || len(s.bindings) != 0 {
			t.Errorf("side %d: left over: %+v, %d bytes held, %d of calls, %d bindings", i, got, s.heldBytes, s.callBytes, len(s.bindings))
		}
	}
}

// streamteller is a storyteller that takes and returns streams.
func streamteller() *Target {
	main := storyteller()
	for name, m := range (&depot{sink: &tape{}}).target().methods {
		if _, ok := main.methods[name]; !ok {
			main.methods[name] = m
		}
	}
	return main
}

// addStreams adds conversations of streams to the seeds.
func addStreams(f *testing.F) {
	for _, lines := range [][]string{
		{`["pipe"]`, `["push",["pipeline",0,["read"],[["readable",1]]]]`, `["pull",2]`, `["stream",["pipeline",1,["write"],[{"a":1}]]]`,
			`["stream",["pipeline",1,["close"],[]]]`, `["release",1,1]`, `["release",2,1]`},
		{`["pipe"]`, `["push",["pipeline",0,["echo"],[["blob","a/b",["readable",1]]]]]`, `["stream",["pipeline",1,["write"],[["bytes","YWJj"]]]]`,
			`["stream",["pipeline",1,["close"],[]]]`, `["pull",2]`, `["release",1,1]`, `["resolve",1,null]`},
		{`["push",["pipeline",0,["count"],[3]]]`, `["pull",1]`, `["resolve",2,null]`, `["resolve",3,null]`, `["release",1,1]`},
		{`["push",["pipeline",0,["sink"],[]]]`, `["pull",1]`, `["stream",["pipeline",1,["write"],[1]]]`, `["stream",["pipeline",1,["abort"],["no"]]]`},
		{`["push",["pipeline",0,["fill"],[["writable",-1],3]]]`, `["reject",1,["error","Error","full"]]`},
		{`["pipe"]`, `["push",["pipeline",0,["echo"],[["response",["readable",1],{"status":201}]]]]`, `["pull",2]`,
			`["push",["pipeline",0,["echo"],[["request","http://a/",{"body":null}]]]]`},
		{`["pipe"]`, `["pipe"]`, `["stream",["pipeline",1,["write"],[["readable",2]]]]`, `["stream",["pipeline",2,["abort"],[["readable",1]]]]`},
	} {
		f.Add(strings.Join(lines, "\n"))
	}
}

// FuzzProxy has a peer of a proxy say whatever comes to its mind; the far end
// is a session that answers. A line that begins with ! is said at the other
// side of the proxy, in the far end's place.
func FuzzProxy(f *testing.F) {
	addStreams(f)
	f.Add("[\"push\",[\"pipeline\",0,[\"late\"],[]]]\n[\"pull\",1]\n[\"push\",[\"pipeline\",1,[\"counter\",\"add\"],[1]]]\n[\"pull\",2]")
	f.Add("[\"push\",[\"pipeline\",0,[\"m\"],[[\"export\",-1]]]]\n[\"pull\",1]\n![\"resolve\",1,{\"a\":[\"import\",-1]}]\n[\"push\",[\"pipeline\",1,[\"a\"]]]")
	f.Fuzz(func(t *testing.T, messages string) {
		synctest.Test(t, func(t *testing.T) {
			nearOurs, near := Pipe()
			farOurs, far := Pipe()
			down, up := between(t, nearOurs, farOurs, fuzzLimits)
			all := []*Session{down, up}
			if !strings.Contains("\n"+messages, "\n!") {
				s := NewSession(far, Config{Main: streamteller(), Limits: fuzzLimits})
				go func() { _ = s.Run(t.Context()) }()
				all = append(all, s)
			}
			for line := range strings.Lines(messages) {
				line = strings.TrimSuffix(line, "\n")
				if said, ok := strings.CutPrefix(line, "!"); ok {
					synctest.Wait()
					_ = far.Write(t.Context(), []byte(said))
					synctest.Wait()
					continue
				}
				_ = near.Write(t.Context(), []byte(line))
			}
			time.Sleep(time.Minute)
			_ = near.Close(nil)
			for _, s := range all {
				<-s.Done()
			}
			expectNothing(t, all...)
		})
	})
}
