package transport

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// FuzzScanner holds the scanner against encoding/json: what is JSON, and what
// its strings and numbers mean.
func FuzzScanner(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,-0.5e+3,true,false,null],"":{}}`, `"\ud83d\ude00 \ud83d \u0000é\/"`, `[[]]`, ` [ ] `, `-0`, `1E-400`,
		`01`, `-`, `1.`, `.5`, `"\x"`, `[1,]`, `{"a"}`, `{1:2}`, `nul`, "\"\n\"", `""x`, `9007199254740993`, `123456789012345`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !utf8.Valid(data) {
			return // dispatch has refused it
		}
		s := scanner{data: data}
		_, err := s.skip(10_000) // as deep as encoding/json goes
		if err == nil {
			err = s.end()
		}
		if valid := json.Valid(data); valid != (err == nil) {
			t.Fatalf("%q: encoding/json says %v, skip %v", data, valid, err)
		}
		if err != nil {
			return
		}
		var want any
		if json.Unmarshal(data, &want) != nil {
			return // a number beyond float64
		}
		s = scanner{data: data, keys: &keyCache{}}
		var got any
		switch want.(type) {
		case string:
			got, err = s.text()
		case float64:
			s.peek()
			got, err = s.number()
		default:
			return
		}
		if err != nil || got != want {
			t.Fatalf("%q: got %#v, %v, want %#v", data, got, err, want)
		}
	})
}
