package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/transport/ws"
)

const ticksSDL = `type Query { q: Int } type Subscription { tick(n: Int!): Tick! } type Tick { n: Int }`

// sendsEvents makes a stub's subscription count to n over server-sent events,
// and then wait for the client to leave if it is to hang.
func sendsEvents(s *stub, hang bool) (left <-chan struct{}) {
	gone := make(chan struct{}, 10)
	s.handleWith(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Accept") != mediaEvents {
			return false
		}
		var in struct{ Variables struct{ N int } }
		body, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(body, &in)
		s.last.Store(&received{header: r.Header.Clone(), body: string(body)})
		w.Header().Set("Content-Type", mediaEvents)
		fmt.Fprint(w, ":\n\n")
		for i := range in.Variables.N {
			fmt.Fprintf(w, "event: next\r\ndata: {\"data\":{\"x\":\ndata:  {\"__typename\":\"Tick\",\"n\":%d}}}\n\n", i)
		}
		_ = http.NewResponseController(w).Flush()
		if hang {
			<-r.Context().Done()
			gone <- struct{}{}
			return true
		}
		fmt.Fprint(w, "event: complete\ndata:\n\n")
		return true
	})
	return gone
}

// sendsOverSocket makes it do so over WebSockets only.
func sendsOverSocket(t *testing.T, s *stub) {
	s.handleWith(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Accept") == mediaEvents {
			http.Error(w, "no", http.StatusNotAcceptable)
			return true
		}
		if !isUpgrade(r) {
			return false
		}
		conn, err := ws.Accept(w, r, ws.Options{Protocol: socketProtocol})
		if err != nil {
			t.Error(err)
			return true
		}
		defer conn.Close(nil)
		say := func(text string) { _ = conn.Write(context.Background(), []byte(text)) }
		for {
			text, err := conn.Read(r.Context())
			if err != nil {
				return true
			}
			var m struct {
				Type    string
				Payload struct{ Variables struct{ N int } }
			}
			_ = json.Unmarshal(text, &m)
			switch m.Type {
			case "connection_init":
				say(`{"type":"ping"}`)
				say(`{"type":"connection_ack"}`)
			case "subscribe":
				s.last.Store(&received{header: r.Header.Clone(), body: string(text)})
				for i := range m.Payload.Variables.N {
					say(fmt.Sprintf(`{"id":"1","type":"next","payload":{"data":{"x":{"__typename":"Tick","n":%d}}}}`, i))
				}
				say(`{"id":"1","type":"error","payload":[{"message":"enough"}]}`)
			}
		}
	})
}

const tickQuery = `subscription($n: Int!) { x: tick(n: $n) { __typename n } }`

// clashing has a type of the same name as the stub's, so that it is renamed.
func clashing(t *testing.T) Service {
	return newStub(t, `type Query { t: Tick } type Tick { z: Int }`).named("old")
}

func listening(t *testing.T, g *Gateway) string {
	server := httptest.NewServer(g.Handler())
	t.Cleanup(server.Close)
	return server.URL + "/graphql"
}

func TestSubscriptionOverServerSentEvents(t *testing.T) {
	for name, upstream := range map[string]func(*stub) string{
		"from events": func(s *stub) string { sendsEvents(s, false); return "" },
		"from a socket": func(s *stub) string {
			sendsOverSocket(t, s)
			return "event: next\ndata: {\"data\":null,\"errors\":[{\"message\":\"enough\",\"path\":[\"x\"],\"extensions\":{\"service\":\"ticks\"}}]}\n\n"
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStub(t, ticksSDL)
			trailer := upstream(s)
			service := s.named("ticks")
			service.Token = "t"
			g := gatewayOf(t, Config{}, clashing(t), service)
			url := listening(t, g)
			for range 2 { // the second time the gateway knows how
				body := `{"query":` + string(appendQuoted(nil, tickQuery)) + `,"variables":{"n":2}}`
				r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
				r.Header = http.Header{"Content-Type": {mediaJSON}, "Accept": {mediaEvents}}
				response, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if err != nil {
					t.Fatal(err)
				}
				wantEqual(t, strings.ReplaceAll(string(got), `:   {`, `:{`),
					"event: next\ndata: {\"data\":{\"x\":{\"__typename\":\"ticks_Tick\",\"n\":0}}}\n\n"+
						"event: next\ndata: {\"data\":{\"x\":{\"__typename\":\"ticks_Tick\",\"n\":1}}}\n\n"+
						trailer+"event: complete\ndata: \n\n")
				wantEqual(t, s.last.Load().header.Get("Authorization"), "Bearer t")
				wantHas(t, s.last.Load().body, `"variables":{"n":2}`)
			}
		})
	}
}

// socketClient speaks graphql-transport-ws.
type socketClient struct {
	t    *testing.T
	conn transport.Conn
}

func dialSocket(t *testing.T, url string) *socketClient {
	t.Helper()
	conn, err := ws.Dial(t.Context(), url, ws.Options{Protocol: socketProtocol})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(nil) })
	return &socketClient{t, conn}
}

func (c *socketClient) say(texts ...string) {
	c.t.Helper()
	for _, text := range texts {
		if err := c.conn.Write(context.Background(), []byte(text)); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *socketClient) hear(want ...string) {
	c.t.Helper()
	for _, w := range want {
		text, err := c.conn.Read(c.t.Context())
		if err != nil {
			c.t.Fatalf("%v, want %s", err, w)
		}
		wantEqual(c.t, string(text), w)
	}
}

func (c *socketClient) hearGoodbye(code int) {
	c.t.Helper()
	text, err := c.conn.Read(c.t.Context())
	var goodbye *transport.ClosedError
	if !errors.As(err, &goodbye) || goodbye.Code != code {
		c.t.Errorf("got %s, %v, want goodbye %d", text, err, code)
	}
}

const hello, welcome = `{"type":"connection_init"}`, `{"type":"connection_ack"}`

func TestOperationsOverAWebSocket(t *testing.T) {
	s := newStub(t, ticksSDL)
	left := sendsEvents(s, true)
	g := gatewayOf(t, Config{}, clashing(t), s.named("ticks"))
	c := dialSocket(t, listening(t, g))
	c.say(`{"type":"connection_init","payload":{"x":1}}`)
	c.hear(welcome)
	c.say(`{"type":"ping","payload":{"y":2}}`, `{"type":"pong"}`)
	c.hear(`{"type":"pong","payload":{"y":2}}`)

	subscribe := `{"id":"1","type":"subscribe","payload":{"query":` + string(appendQuoted(nil, tickQuery)) + `,"variables":{"n":2}}}`
	c.say(subscribe)
	c.hear(`{"id":"1","type":"next","payload":{"data":{"x":{"__typename":"ticks_Tick","n":0}}}}`,
		`{"id":"1","type":"next","payload":{"data":{"x":{"__typename":"ticks_Tick","n":1}}}}`)
	c.say(`{"id":"q","type":"subscribe","payload":{"query":"{q}"}}`)
	c.hear(`{"id":"q","type":"next","payload":{"data":{"q":1}}}`, `{"id":"q","type":"complete"}`)
	c.say(`{"id":"bad","type":"subscribe","payload":{"query":"{nope}"}}`)
	text, err := c.conn.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantHas(t, string(text), `{"id":"bad","type":"error","payload":[{"message":"Cannot query field`)

	c.say(`{"id":"1","type":"complete"}`, `{"id":"nobody","type":"complete"}`)
	<-left // the service is told
	c.say(`{"id":"2","type":"subscribe","payload":{"query":"{__typename}"}}`)
	c.hear(`{"id":"2","type":"next","payload":{"data":{"__typename":"Query"}}}`, `{"id":"2","type":"complete"}`)

	c.say(strings.Replace(subscribe, `"id":"1"`, `"id":"3"`, 1))
	c.hear(`{"id":"3","type":"next","payload":{"data":{"x":{"__typename":"ticks_Tick","n":0}}}}`)
	_ = c.conn.Close(nil)
	<-left
}

func TestClientsThatDoNotKeepToTheProtocolAreLeft(t *testing.T) {
	s := newStub(t, ticksSDL)
	sendsEvents(s, true)
	url := listening(t, gatewayOf(t, Config{Limits: Limits{Subscriptions: 1}}, s.named("ticks")))
	const subscription = `{"id":"1","type":"subscribe","payload":{"query":"subscription{x:tick(n:1){n}}"}}`
	for name, c := range map[string]struct {
		says []string
		code int
	}{
		"no init":            {[]string{subscription}, 4401},
		"twice init":         {[]string{hello, hello}, 4429},
		"no json":            {[]string{`{`}, 4400},
		"unknown":            {[]string{`{"type":"what"}`}, 4400},
		"no id":              {[]string{hello, `{"type":"subscribe","payload":{"query":"{q}"}}`}, 4400},
		"no query":           {[]string{hello, `{"id":"1","type":"subscribe","payload":{}}`}, 4400},
		"the same id":        {[]string{hello, subscription, subscription}, 4409},
		"too many":           {[]string{hello, subscription, strings.Replace(subscription, `"1"`, `"2"`, 1)}, 4429},
		"payload is a list":  {[]string{hello, `{"id":"1","type":"subscribe","payload":[]}`}, 4400},
		"message is a list":  {[]string{`[]`}, 4400},
		"payload is missing": {[]string{hello, `{"id":"1","type":"subscribe"}`}, 4400},
	} {
		t.Run(name, func(t *testing.T) {
			client := dialSocket(t, url)
			client.say(c.says...)
			if c.says[0] == hello {
				client.hear(welcome)
			}
			client.hearGoodbye(c.code)
		})
	}
	if _, err := ws.Dial(t.Context(), url, ws.Options{}); err == nil || !strings.Contains(err.Error(), "offer the subprotocol") {
		t.Errorf("without the subprotocol: got %v", err)
	}
}

func TestASubscriptionThatCannotBeSaysSo(t *testing.T) {
	s := newStub(t, ticksSDL)
	s.handleWith(func(w http.ResponseWriter, r *http.Request) bool {
		if isUpgrade(r) || r.Header.Get("Accept") == mediaEvents {
			http.Error(w, "secret", http.StatusNotFound)
			return true
		}
		return false
	})
	c := dialSocket(t, listening(t, gatewayOf(t, Config{}, s.named("ticks"))))
	c.say(hello, `{"id":"1","type":"subscribe","payload":{"query":"subscription{x:tick(n:1){n}}"}}`)
	c.hear(welcome, `{"id":"1","type":"next","payload":{"data":null,"errors":[{"message":"service ticks offers no subscriptions over server-sent events or WebSockets",`+
		`"path":["x"],"extensions":{"code":"SERVICE_FAILED","service":"ticks"}}]}}`, `{"id":"1","type":"complete"}`)
}

func TestEventsAreRead(t *testing.T) {
	for text, want := range map[string]string{
		"event: next\ndata: 1\n\nevent:next\ndata:2\n\n":       "next=1 next=2 EOF",
		":\n\n\n\n: hi\nid: 7\nretry: 1\nevent: complete\n\n":  "complete= EOF",
		"data: a\ndata\ndata: b\n\n":                           "=a\n\nb EOF",
		"event: next\r\ndata: x\r\n\r\nevent: next\ndata: cut": "next=x EOF",
		"data: " + strings.Repeat("x", 5000) + "\n\n":          "the answer is too long",
		"data: 1\n" + strings.Repeat("data: x\n", 3000) + "\n": "the answer is too long",
		"data: " + strings.Repeat("x", 4200) + "\n\n":          "=" + strings.Repeat("x", 4200) + " EOF",
	} {
		e := eventReader{r: bufio.NewReaderSize(strings.NewReader(text), 16), limit: 4500}
		var got []string
		for {
			name, data, err := e.next()
			if err != nil {
				got = append(got, err.Error())
				break
			}
			got = append(got, name+"="+string(bytes.Clone(data)))
		}
		wantEqual(t, strings.Join(got, " "), want)
	}
}
