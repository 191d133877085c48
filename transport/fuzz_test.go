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
	f.Fuzz(func(t *testing.T, messages string) {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := Pipe()
			s := NewSession(ours, Config{Main: storyteller(), Limits: Limits{
				Calls: 100, Exports: 200, Imports: 200, MapCalls: 1000, HeldBytes: 1 << 20, BufferedBytes: 1 << 20,
			}})
			go func() { _ = s.Run(t.Context()) }()
			for line := range strings.Lines(messages) {
				_ = theirs.Write(t.Context(), []byte(strings.TrimSuffix(line, "\n")))
			}
			time.Sleep(time.Minute)
			_ = theirs.Close(nil)
			<-s.Done()
			if got := s.Stats(); got.Imports+got.Exports+got.Running != 0 || s.heldBytes != 0 || len(s.bindings) != 0 {
				t.Errorf("left over: %+v, %d bytes held, %d bindings", got, s.heldBytes, len(s.bindings))
			}
		})
	})
}
