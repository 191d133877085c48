package clustertests

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// rawService is a service whose answers are written byte by byte. Asked at /NAME it has a field c_NAME.
type rawService struct {
	listener net.Listener
	answer   func(name string, r *http.Request, body string, to net.Conn) (goOn bool)
}

func startRaw(t *testing.T, answer func(name string, r *http.Request, body string, to net.Conn) bool) *rawService {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawService{l, answer}
	var all connections
	var wg sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		all.close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.add(conn)
			wg.Go(func() { s.serve(conn) })
		}
	})
	return s
}

// connections are closed when the test ends, whoever still reads from them.
type connections struct {
	mu   sync.Mutex
	list []net.Conn
}

func (c *connections) add(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, conn)
}

func (c *connections) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.list {
		conn.Close()
	}
}

func (s *rawService) serve(conn net.Conn) {
	defer conn.Close()
	for from := bufio.NewReader(conn); ; {
		r, err := http.ReadRequest(from)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		name := strings.TrimPrefix(r.URL.Path, "/")
		if strings.Contains(string(body), "__schema") {
			if _, err := io.WriteString(conn, jsonAnswer(rawSchema(name))); err != nil {
				return
			}
		} else if !s.answer(name, r, string(body), conn) {
			return
		}
	}
}

func (s *rawService) entry(name string) map[string]string {
	return map[string]string{"name": name, "url": "http://" + s.listener.Addr().String() + "/" + name, "token": "token-of-" + name}
}

// jsonAnswer is a plain answer of HTTP.
func jsonAnswer(body string, headers ...string) string {
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	for _, h := range headers {
		head += h + "\r\n"
	}
	return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
}

func rawSchema(name string) string {
	const scalar = `{"kind":"SCALAR","name":"Any","description":null}`
	field := `{"name":"c_` + name + `","description":null,"args":[],"isDeprecated":false,"type":{"kind":"SCALAR","name":"Any","ofType":null}}`
	return `{"data":{"__schema":{"queryType":{"name":"Query"},"mutationType":null,"subscriptionType":null,"directives":[],"types":[` +
		scalar + `,{"kind":"OBJECT","name":"Query","description":null,"fields":[` + field + `],"interfaces":[]}]}}}`
}

// tell gives the gateway its list by the HTTP batch of Cap'n Web, and waits until all of it is served.
func (g *ownGateway) tell(t *testing.T, services []map[string]string) {
	t.Helper()
	push := `["push",["pipeline",0,["updateConfig"],[{"services":[` + asJSON(services) + `]}]]]` + "\n" + `["pull",1]`
	eventually(t, "the gateway serves all", func() error {
		response, err := web.Post("http://"+g.address+"/api", "text/plain", strings.NewReader(push))
		if err != nil {
			return err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err == nil && strings.Count(string(text), `"state":"serving"`) != len(services) {
			err = fmt.Errorf("it answers %.500s", text)
		}
		return err
	})
}

// asked is the whole body that a query is answered with.
func (g *ownGateway) asked(t *testing.T, query string) string {
	t.Helper()
	response, err := web.Post(g.graphql(), "application/json", strings.NewReader(asJSON(map[string]string{"query": query})))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// oddAnswers are what services may say beside the usual: with DATA for {"data":{"c_NAME":1}} and NAME for their names. Without
// what is wanted the data must arrive.
var oddAnswers = []struct {
	name, answer, want string
	hangUp             bool
}{
	{name: "old", answer: "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\nDATA", hangUp: true},
	{name: "closes", answer: jsonAnswer(`{"data":{"c_closes":1}}`, "cOnnection: x, CLOSE"), hangUp: true},
	{name: "closes_unsaid", answer: jsonAnswer(`{"data":{"c_closes_unsaid":1}}`), hangUp: true},
	{name: "in_chunks", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8;x=1\r\n{\"data\":\r\n12\r\n{\"c_in_chunks\":1}}\r\n0\r\nX-Trailer: 1\r\n\r\n"},
	{name: "without_type", answer: "HTTP/1.1 200\nContent-Length: 29\n\nDATA"},
	{name: "early_hints", answer: "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + jsonAnswer(`{"data":{"c_early_hints":1}}`)},
	{name: "folded", answer: jsonAnswer(`{"data":{"c_folded":1}}`, "X-Folded: a\r\n b")},
	{name: "length_twice", answer: jsonAnswer(`{"data":{"c_length_twice":1}}`, "Content-Length: 29")},
	{name: "spaces", answer: jsonAnswer(" \n\t{ \"data\" : {\t\"c_spaces\" : 1 } } \r\n")},
	{name: "escaped", answer: jsonAnswer(`{"\u0064ata":{"\u0063_escaped":1}}`)},
	{name: "last_wins", answer: jsonAnswer(`{"data":{"c_last_wins":2},"data":{"c_last_wins":2,"c_last_wins":1}}`)},

	{name: "digits", answer: jsonAnswer(`{"data":{"c_digits":[1e400,-0.10,12345678901234567890123.0E-5]}}`), want: `{"data":{"c_digits":[1e400,-0.10,12345678901234567890123.0E-5]}}`},
	{name: "texts", answer: jsonAnswer(`{"data":{"c_texts":"\ud83d\ude00 \u0000 \/ 漢"}}`), want: `{"data":{"c_texts":"\ud83d\ude00 \u0000 \/ 漢"}}`},
	{name: "errors_first", answer: jsonAnswer(`{"errors":[{"message":"no","path":["c_errors_first"],"locations":[{"line":1,"column":1}]}],"extensions":{},"data":{"c_errors_first":null}}`),
		want: `{"data":{"c_errors_first":null},"errors":[{"message":"no","path":["c_errors_first"],"extensions":{"service":"errors_first"}}]}`},
	{name: "status", answer: strings.Replace(jsonAnswer(`{"errors":[{"message":"bad"}]}`), "200 OK", "400 Bad Request", 1),
		want: `{"data":{"c_status":null},"errors":[{"message":"bad","path":["c_status"],"extensions":{"service":"status"}}]}`},

	{name: "nothing", answer: "HTTP/1.1 204 No Content\r\n\r\n", want: "answered with status 204"},
	{name: "elsewhere", answer: "HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/secret\r\nContent-Length: 0\r\n\r\n", want: "answered with status 301"},
	{name: "page", answer: strings.ReplaceAll(jsonAnswer("<html>127.0.0.1:5432</html>"), "application/json", "text/html"), want: "did not answer as a GraphQL service does"},
	{name: "cut", answer: "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nDATA", hangUp: true, want: "broke off"},
	{name: "silent", hangUp: true, want: "broke off"},
	{name: "depth", answer: jsonAnswer(`{"data":{"c_depth":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}}`), want: "did not answer as a GraphQL service does"},
	{name: "no_number", answer: jsonAnswer(`{"data":{"c_no_number":NaN}}`), want: "did not answer as a GraphQL service does"},
	{name: "headers", answer: jsonAnswer(`{"data":{"c_headers":1}}`, "X-Long: "+strings.Repeat("x", 1<<20)), want: "broke off"},
	{name: "insides", answer: jsonAnswer(`{"data":{"c_insides":null},"errors":[{"message":"no","path":["c_insides"],"extensions":{"code":"X","stacktrace":["at /srv/secret.js"],"\u0073tack":"secret"}}]}`),
		want: `{"data":{"c_insides":null},"errors":[{"message":"no","path":["c_insides"],"extensions":{"code":"X","service":"insides"}}]}`},
}

// TestServicesOfOddManners: what is legal is understood, and what is not costs nobody else anything and tells clients nothing of
// where services are.
func TestServicesOfOddManners(t *testing.T) {
	answers := map[string]int{}
	for i, odd := range oddAnswers {
		answers[odd.name] = i
	}
	s := startRaw(t, func(name string, _ *http.Request, _ string, to net.Conn) bool {
		odd := oddAnswers[answers[name]]
		_, err := io.WriteString(to, strings.ReplaceAll(odd.answer, "DATA", `{"data":{"c_`+name+`":1}}`))
		return err == nil && !odd.hangUp
	})
	g := &ownGateway{state: filepath.Join(t.TempDir(), "gateway.json")}
	g.start(t)
	var list []map[string]string
	all := "{"
	for _, odd := range oddAnswers {
		list = append(list, s.entry(odd.name))
		all += " c_" + odd.name
	}
	g.tell(t, list)
	for range 2 { // on a new connection, and on one that is there
		for _, odd := range oddAnswers {
			want := odd.want
			if want == "" {
				want = `{"data":{"c_` + odd.name + `":1}}`
			}
			got := g.asked(t, "{ c_"+odd.name+" }")
			if got != want && (strings.HasPrefix(want, "{") || !strings.Contains(got, want)) {
				t.Errorf("%s: got %.500s, want %s", odd.name, got, want)
			}
			withoutInsides(t, got)
		}
	}
	got := g.asked(t, all+" }")
	for _, odd := range oddAnswers {
		if odd.want == "" && !strings.Contains(got, `"c_`+odd.name+`":1`) {
			t.Errorf("beside all others %s is not answered: %.2000s", odd.name, got)
		}
	}
}

func withoutInsides(t *testing.T, answer string) {
	t.Helper()
	for _, inside := range []string{"127.0.0.1", "token", "secret", ".go:", "goroutine", "net/http", "context"} {
		if strings.Contains(answer, inside) {
			t.Errorf("%.500s tells of %s", answer, inside)
		}
	}
}

// TestClientsOfOddManners: raw bytes to the gateway's port, and what must come back.
func TestClientsOfOddManners(t *testing.T) {
	asked := make(chan http.Header, 100)
	left := make(chan struct{}, 1)
	s := startRaw(t, func(name string, r *http.Request, _ string, to net.Conn) bool {
		if name == "waits" {
			asked <- r.Header
			_, _ = to.Read(make([]byte, 1)) // until the gateway hangs up
			left <- struct{}{}
			return false
		}
		_, err := io.WriteString(to, jsonAnswer(`{"data":{"c_one":1,"x":1,"y":1}}`))
		return err == nil
	})
	g := &ownGateway{state: filepath.Join(t.TempDir(), "gateway.json")}
	g.start(t)
	g.tell(t, []map[string]string{s.entry("one"), s.entry("waits")})

	const query = `{"query":"{c_one}"}`
	post := func(version, headers, body string) string {
		return fmt.Sprintf("POST /graphql %s\r\nHost: %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s", version, g.address, headers, len(body), body)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(z, query)
	z.Close()
	chunked := strings.Replace(post("HTTP/1.1", "Transfer-Encoding: chunked\r\nConnection: close\r\n", ""), "Content-Length: 0\r\n", "", 1)
	for name, c := range map[string]struct {
		sent string
		want []string
	}{
		"HTTP/1.0":          {post("HTTP/1.0", "", query), []string{"200 OK", `{"data":{"c_one":1}}`}},
		"pipelined":         {post("HTTP/1.1", "", query) + post("HTTP/1.1", "", `{"query":"{x:c_one}"}`) + post("HTTP/1.0", "", `{"query":"{y:c_one}"}`), []string{`{"data":{"c_one":1}}`, `{"data":{"x":1}}`, `{"data":{"y":1}}`}},
		"expects to go on":  {post("HTTP/1.1", "Expect: 100-continue\r\nConnection: close\r\n", query), []string{"100 Continue", `{"data":{"c_one":1}}`}},
		"in chunks":         {chunked + "5\r\n{\"que\r\ne\r\nry\":\"{c_one}\"}\r\n0\r\n\r\n", []string{"200 OK", `{"data":{"c_one":1}}`}},
		"endless chunks":    {chunked + strings.Repeat("10000\r\n"+strings.Repeat(" ", 1<<16)+"\r\n", 17) + "0\r\n\r\n", []string{"413", "longer than"}},
		"too long":          {strings.Replace(post("HTTP/1.1", "Expect: 100-continue\r\nConnection: close\r\n", ""), "Length: 0", "Length: 99999999", 1), []string{"413", "longer than"}},
		"packed":            {post("HTTP/1.1", "Content-Encoding: gzip\r\nConnection: close\r\n", zipped.String()), []string{"400", "errors"}},
		"a batch":           {post("HTTP/1.1", "Connection: close\r\n", "["+query+"]"), []string{"400", "one request at a time"}},
		"deep variables":    {post("HTTP/1.1", "Connection: close\r\n", `{"query":"{c_one}","variables":{"v":`+strings.Repeat("[", 200_000)+strings.Repeat("]", 200_000)+`}}`), []string{"400", "malformed"}},
		"another host":      {strings.Replace(post("HTTP/1.1", "Connection: close\r\n", query), g.address, "evil.example", 1), []string{"403"}},
		"another's page":    {strings.Replace(post("HTTP/1.1", "Origin: http://evil.example\r\nConnection: close\r\n", query), "application/json", "text/plain", 1), []string{"415"}},
		"list from a page":  {strings.Replace(post("HTTP/1.1", "Origin: http://evil.example\r\nConnection: close\r\n", `["pull",1]`), "/graphql", "/api", 1), []string{"403"}},
		"not HTTP":          {"hello\r\n\r\n", []string{"400"}},
		"a body that stops": {post("HTTP/1.1", "", query)[:len(post("HTTP/1.1", "", query))-3], nil},
	} {
		got := g.raw(t, c.sent, c.want == nil)
		for _, part := range c.want {
			if !strings.Contains(got, part) {
				t.Errorf("%s: got %.800s, want %s", name, got, part)
			}
		}
		withoutInsides(t, strings.ReplaceAll(got, g.address, ""))
	}

	t.Run("who leaves is not asked for any more", func(t *testing.T) {
		conn, err := net.Dial("tcp", g.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, post("HTTP/1.1", "Authorization: Bearer of-the-client\r\nCookie: a=b\r\n", `{"query":"{c_waits c_one}"}`)); err != nil {
			t.Fatal(err)
		}
		header := <-asked
		if got := header.Get("Authorization"); got != "Bearer token-of-waits" || header.Get("Cookie") != "" {
			t.Errorf("the service was sent %v, want its own token and nothing of the client's", header)
		}
		conn.Close()
		select {
		case <-left:
		case <-time.After(patience):
			t.Error("the service is still asked")
		}
	})
}

// raw sends bytes and returns all that comes back. One who stops says no more, but does not leave.
func (g *ownGateway) raw(t *testing.T, sent string, stops bool) string {
	t.Helper()
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, sent) // it may be refused before its end
	if stops {
		return ""
	}
	got, _ := io.ReadAll(conn)
	return string(got)
}

// TestNamesSurviveTheGateway: of two services that clash, killed with its gateway, none gets the other's names, in whatever order
// they are told of.
func TestNamesSurviveTheGateway(t *testing.T) {
	books, clash := startService(t, 0, "books"), startService(t, 0, "clash")
	g := &ownGateway{state: filepath.Join(t.TempDir(), "gateway.json")}
	g.start(t)
	list := []map[string]string{{"name": "clash", "url": clash.graphql()}, {"name": "books", "url": books.graphql()}}
	g.tell(t, list[1:])
	g.tell(t, list)
	const query = `{ allBooks { __typename title } shelf __type(name: "clash_Book") { kind } }`
	before := g.asked(t, query)
	if !strings.Contains(before, `"__typename":"Book"`) || !strings.Contains(before, `"kind":"ENUM"`) {
		t.Fatalf("got %s, want a Book and an enum clash_Book", before)
	}
	for range 3 {
		g.kill(t)
		g.start(t)
		if got := g.asked(t, query); normal(t, got) != normal(t, before) {
			t.Errorf("after a restart: got %s, want %s", got, before)
		}
		list[0], list[1] = list[1], list[0]
		g.tell(t, list)
		if got := g.asked(t, query); normal(t, got) != normal(t, before) {
			t.Errorf("told again: got %s, want %s", got, before)
		}
	}
}

// normal is an answer without what a mocked enum makes up.
func normal(t *testing.T, answer string) string {
	t.Helper()
	var a struct{ Data map[string]json.RawMessage }
	if err := json.Unmarshal([]byte(answer), &a); err != nil {
		t.Fatal(err)
	}
	delete(a.Data, "shelf")
	return asJSON(a.Data)
}
