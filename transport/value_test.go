package transport

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

type protocol string

type inner struct {
	Deep int `json:"deep"`
}

type sample struct {
	inner
	Name     string            `json:"name"`
	Protocol protocol          `json:"protocol"`
	Port     uint16            `json:"port,omitempty"`
	Since    time.Time         `json:"since,omitzero"`
	Tags     map[string]string `json:"tags,omitempty"`
	Next     *sample           `json:"next,omitempty"`
	List     []inner           `json:"list"`
	Any      any               `json:"any"`
	Hidden   string            `json:"-"`
	private  int
	Plain    bool
	Address  netip.Addr `json:"address"`
}

// encodings are values with what they are on the wire and what arrives.
var encodings = []struct {
	value any
	wire  string
	back  any
}{
	{nil, `null`, nil},
	{true, `true`, true},
	{Undefined{}, `["undefined"]`, Undefined{}},
	{0, `0`, 0.0},
	{int8(-3), `-3`, -3.0},
	{uint64(math.MaxUint64), `18446744073709551615`, math.Pow(2, 64)},
	{float32(0.5), `0.5`, 0.5},
	{1e21, `1e+21`, 1e21},
	{math.Copysign(0, -1), `0`, 0.0},
	{5e-324, `5e-324`, 5e-324},
	{1 << 53, `9007199254740992`, float64(1 << 53)},
	{math.Inf(1), `["inf"]`, math.Inf(1)},
	{math.Inf(-1), `["-inf"]`, math.Inf(-1)},
	{"", `""`, ""},
	{"\"\\/\b\f\n\r\t\x00\x7f é 漢 😀", `"\"\\/\u0008\u000c\n\r\t\u0000` + "\x7f é 漢 😀\"", "\"\\/\b\f\n\r\t\x00\x7f é 漢 😀"},
	{"invalid \xff", `"invalid ` + "\uFFFD" + `"`, "invalid \uFFFD"},
	{protocol("tcp"), `"tcp"`, "tcp"},
	{time.UnixMilli(1749342170815), `["date",1749342170815]`, time.UnixMilli(1749342170815).UTC()},
	{time.Time{}, `["date",null]`, time.Time{}},
	{[]byte{0xfb, 0xff}, `["bytes","+/8"]`, []byte{0xfb, 0xff}},
	{Bytes{Kind: "Uint8Array", Data: []byte{1}}, `["bytes","AQ"]`, []byte{1}},
	{Bytes{Kind: "ArrayBuffer", Data: []byte{1}}, `["bytes","AQ","ArrayBuffer"]`, Bytes{Kind: "ArrayBuffer", Data: []byte{1}}},
	{big.NewInt(-12), `["bigint","-12"]`, big.NewInt(-12)},
	{[]any{}, `[[]]`, []any{}},
	{[]string(nil), `[[]]`, []any{}},
	{[2]int{1, 2}, `[[1,2]]`, []any{1.0, 2.0}},
	{[]any{[]any{"export", -1}}, `[[[["export",-1]]]]`, []any{[]any{"export", -1.0}}},
	{map[string]int{"b": 1, "a": 2}, `{"a":2,"b":1}`, map[string]any{"a": 2.0, "b": 1.0}},
	{map[string]any(nil), `{}`, map[string]any{}},
	{map[protocol]any{"x": nil}, `{"x":null}`, map[string]any{"x": nil}},
	{&inner{Deep: 3}, `{"deep":3}`, map[string]any{"deep": 3.0}},
	{(*inner)(nil), `null`, nil},
	{netip.MustParseAddr("::1"), `"::1"`, "::1"},
	{
		sample{inner: inner{Deep: 1}, Name: "n", Protocol: "tcp", Next: &sample{}, List: []inner{{2}}, Hidden: "h", private: 1},
		`{"name":"n","protocol":"tcp","next":{"name":"","protocol":"","list":[[]],"any":null,"Plain":false,"address":"","deep":0},"list":[[{"deep":2}]],"any":null,"Plain":false,"address":"","deep":1}`,
		map[string]any{
			"name": "n", "protocol": "tcp", "list": []any{map[string]any{"deep": 2.0}}, "any": nil, "Plain": false, "address": "", "deep": 1.0,
			"next": map[string]any{"name": "", "protocol": "", "list": []any{}, "any": nil, "Plain": false, "address": "", "deep": 0.0},
		},
	},
	{errors.New("plain"), `["error","Error","plain"]`, &Error{Name: "Error", Message: "plain"}},
	{fmt.Errorf("wrapped: %w", &Error{Name: "RangeError", Message: "inside"}), `["error","RangeError","wrapped: inside"]`, &Error{Name: "RangeError", Message: "wrapped: inside"}},
	{
		&Error{Message: "m", Stack: "secret", Props: map[string]any{"code": "c", "bad": make(chan int), "n": []any{1}, "cause": errors.New("why"), "name": "x"}},
		`["error","Error","m",null,{"cause":["error","Error","why"],"code":"c","n":[[1]]}]`,
		&Error{Name: "Error", Message: "m", Props: map[string]any{"code": "c", "n": []any{1.0}, "cause": &Error{Name: "Error", Message: "why"}}},
	},
	{&Error{Message: "m", Props: map[string]any{"bad": make(chan int)}}, `["error","Error","m"]`, &Error{Name: "Error", Message: "m"}},
}

func TestValuesOnTheWire(t *testing.T) {
	for _, c := range encodings {
		e := encoder{depth: 256}
		if err := e.value(c.value); err != nil {
			t.Errorf("%#v: %v", c.value, err)
			continue
		}
		if got := string(e.buf); got != c.wire {
			t.Errorf("%#v is %s\nwant %s", c.value, got, c.wire)
		}
		back, err := decodePlain([]byte(c.wire))
		if want := wide(c.back); err != nil || !reflect.DeepEqual(back, want) {
			t.Errorf("%s is %#v, %v\nwant %#v", c.wire, back, err, want)
		}
	}
}

func wide(v any) any {
	if i, ok := v.(int); ok {
		return float64(i)
	}
	return v
}

// decodePlain decodes an expression without references.
func decodePlain(wire []byte) (any, error) {
	s := &Session{limits: Limits{}.withDefaults()}
	d := decoder{scanner: scanner{data: wire, keys: &s.keys}, session: s, depth: s.limits.Depth, out: &payload{}}
	v, err := d.value()
	if err == nil {
		err = d.end()
	}
	return v, err
}

func TestWhatOnlyArrives(t *testing.T) {
	for _, c := range []struct {
		wire string
		want any
	}{
		{` [ [ 1 , { "a" : [ "inf" ] } ] ] `, []any{1.0, map[string]any{"a": math.Inf(1)}}},
		{`1e999`, math.Inf(1)},
		{`-1E-2`, -0.01},
		{`-0`, math.Copysign(0, -1)},
		{`"\u00e9\ud83d\ude00\ud83d\/\b\f\n\r\t\"\\"`, "é😀\uFFFD/\b\f\n\r\t\"\\"},
		{`"\ude00x\ud83d\u0041"`, "\uFFFDx\uFFFDA"},
		{`["date",8640000000000001]`, time.Time{}},
		{`["date",-1.9]`, time.UnixMilli(-1).UTC()},
		{`["bytes","+/8="]`, []byte{0xfb, 0xff}},
		{`["error","E","m","at x"]`, &Error{Name: "E", Message: "m", Stack: "at x"}},
		{`{"a":1,"a":2}`, map[string]any{"a": 2.0}},
	} {
		got, err := decodePlain([]byte(c.wire))
		if err != nil || !reflect.DeepEqual(got, c.want) || fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s is %#v, %v\nwant %#v", c.wire, got, err, c.want)
		}
	}
}

func TestDecodeFillsGoValues(t *testing.T) {
	in := map[string]any{
		"name": "n", "protocol": "tcp", "port": 80.0, "since": time.UnixMilli(5), "tags": map[string]any{"a": "b"},
		"next": map[string]any{"deep": 7.0}, "list": []any{map[string]any{"deep": 1.0}}, "any": []any{1.0}, "unknown": 1.0,
		"Plain": Undefined{}, "address": "10.0.0.1",
	}
	got := sample{Plain: true}
	if err := Decode(in, &got); err != nil {
		t.Fatal(err)
	}
	want := sample{
		Name: "n", Protocol: "tcp", Port: 80, Since: time.UnixMilli(5), Tags: map[string]string{"a": "b"},
		Next: &sample{inner: inner{Deep: 7}}, List: []inner{{1}}, Any: []any{1.0}, Plain: true, Address: netip.MustParseAddr("10.0.0.1"),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	var other struct {
		Name string `json:"name"`
		Next inner  `json:"next"`
	}
	if err := Decode(want, &other); err != nil || other.Name != "n" || other.Next.Deep != 7 {
		t.Errorf("a struct of another type: got %+v, %v", other, err)
	}
	var n big.Int
	var data []byte
	var typed Bytes
	if err := errors.Join(Decode(big.NewInt(9), &n), Decode(Bytes{"ArrayBuffer", []byte{1}}, &data), Decode([]byte{2}, &typed)); err != nil {
		t.Fatal(err)
	}
	if n.Int64() != 9 || len(data) != 1 || typed.Kind != "Uint8Array" {
		t.Errorf("got %v, %v, %v", &n, data, typed)
	}
}

func TestDecodeNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		v    any
		dst  any
		want string
	}{
		{1.0, new(string), "want a string, got a number"},
		{nil, new(string), "want a string, got null"},
		{"x", new(int), "want a number, got a string"},
		{1.5, new(int), "want a whole number that fits int, got 1.5"},
		{300.0, new(int8), "want a whole number that fits int8, got 300"},
		{-1.0, new(uint), "want a whole number that fits uint, got -1"},
		{math.NaN(), new(int64), "want a whole number that fits int64, got NaN"},
		{math.Inf(1), new(int64), "want a whole number that fits int64, got +Inf"},
		{[]any{}, new(sample), "want an object, got an array"},
		{map[string]any{}, new([]int), "want an array, got an object"},
		{"AQ", new([]byte), "want bytes, got a string"},
		{1.0, new(time.Time), "want a date, got a number"},
		{1.0, new(big.Int), "want a bigint, got a number"},
		{1.0, new(*Stub), "want a stub or function, got a number"},
		{&Stub{}, new(string), "want a string, got a stub"},
		{1.0, new(error), "want an error, got a number"},
		{map[string]any{"data": map[string]any{"endpoint": 1.0}}, &struct {
			Data struct {
				Endpoint string `json:"endpoint"`
			} `json:"data"`
		}{}, "data.endpoint: want a string, got a number"},
		{map[string]any{"list": []any{map[string]any{}, map[string]any{"deep": "x"}}}, new(sample), "list.1.deep: want a number, got a string"},
		{map[string]any{"k": true}, new(map[string]string), "k: want a string, got a boolean"},
		{"not an address", new(netip.Addr), `ParseAddr("not an address"): unable to parse IP`},
		{func() {}, new(sample), "a value of type func() cannot be sent"},
	} {
		err := Decode(c.v, c.dst)
		if e := (*Error)(nil); !errors.As(err, &e) || e.Name != "TypeError" || e.Message != c.want {
			t.Errorf("%v into %T: got %v, want %q", c.v, c.dst, err, c.want)
		}
	}
	if err := Decode(1.0, 1); err == nil {
		t.Error("a destination that is no pointer was accepted")
	}
}

func TestErrorsCrossWithEverythingButTheStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := &Error{Name: "TypeError", Message: "deeper", Stack: "secret"}
		sent := &Error{Name: "RangeError", Message: "no", Stack: "secret", Props: map[string]any{
			"code": "conflict", "cause": cause, "errors": []any{errors.New("one")},
		}}
		client, _ := pair(t, Config{}, Config{Main: failing(fmt.Errorf("do it: %w", sent))})
		_, err := client.Main().Call("").Await(t.Context())
		var got *Error
		if !errors.As(err, &got) {
			t.Fatalf("got %v", err)
		}
		if got.Name != "RangeError" || got.Code() != "conflict" || got.Stack != "" || len(got.Unwrap()) != 2 {
			t.Errorf("got %#v", got)
		}
	})
}
