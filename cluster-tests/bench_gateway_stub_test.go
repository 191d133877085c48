package clustertests

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// fastService is a GraphQL service that costs next to nothing: it says what it is when it is asked, and always the same
// otherwise.
type fastService struct {
	name           string
	question, data string // a request, and the whole body that answers it
	listener       net.Listener
	introspection  []byte // whole responses
	answer         []byte
}

func (s *fastService) url() string { return "http://" + s.listener.Addr().String() + "/graphql" }

// startFast serves until the benchmark ends.
func startFast(b *testing.B, name, introspection, answer string) *fastService {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &fastService{name: name, data: answer, listener: l, introspection: responseOf(introspection), answer: responseOf(answer)}
	var wg sync.WaitGroup
	b.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	wg.Go(func() { s.serve(&wg) })
	return s
}

// fiftyStubs are services with fields and types of their own.
func fiftyStubs(b *testing.B) (list []*fastService) {
	const sdl = `
		type Query { xxBook(id: ID!): XxBook xxBooks(first: Int = 10, by: XxOrder): [XxBook!]! xxAuthor(name: String!): XxAuthor }
		type Mutation { xxAddBook(book: XxBookInput!): XxBook }
		type XxBook implements XxNode { id: ID! title: String! author: XxAuthor reviews(first: Int): [XxReview!]! }
		type XxAuthor { name: String! books: [XxBook!]! born: Date } type XxReview { stars: Int! text: String of: XxSubject }
		union XxSubject = XxBook | XxAuthor interface XxNode { id: ID! } enum XxOrder { TITLE YEAR } scalar Date
		input XxBookInput { title: String! year: Int = 2000 tags: [String!] }`
	introspection := introspectionOf(b, sdl)
	for i := range 50 {
		name := fmt.Sprintf("s%02d", i)
		own := strings.NewReplacer("xx", name, "Xx", "S"+name[1:])
		s := startFast(b, name, own.Replace(introspection), own.Replace(`{"data":{"xxBook":{"id":"1","title":"a title"}}}`))
		s.question = own.Replace(`{"query":"{ xxBook(id: 1) { id title } }"}`)
		list = append(list, s)
	}
	return list
}

func (s *fastService) service() benchService { return benchService{s.name, s.url()} }

func responseOf(body string) []byte {
	return []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

func (s *fastService) serve(wg *sync.WaitGroup) {
	var mu sync.Mutex
	var open []net.Conn
	defer func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			c.Close()
		}
	}()
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		mu.Lock()
		open = append(open, conn)
		mu.Unlock()
		wg.Go(func() {
			defer conn.Close()
			_ = s.converse(conn) // how a client leaves is its own matter
		})
	}
}

func (s *fastService) converse(conn net.Conn) error {
	r := bufio.NewReaderSize(conn, 8<<10)
	var body []byte
	for {
		length, err := readHead(r)
		if err != nil {
			return err
		}
		body = append(body[:0], make([]byte, length)...)
		if _, err := io.ReadFull(r, body); err != nil {
			return err
		}
		answer := s.answer
		if bytes.Contains(body, []byte("__schema")) {
			answer = s.introspection
		}
		if _, err := conn.Write(answer); err != nil {
			return err
		}
	}
}

var errNoLength = errors.New("a request without a length")

// readHead reads a request up to its body, and says how long that is.
func readHead(r *bufio.Reader) (length int, err error) {
	length = -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case len(line) == 0 && length < 0:
			return 0, errNoLength
		case len(line) == 0:
			return length, nil
		case hasPrefixFold(line, "content-length:"):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[15:]))); err != nil || length > 1<<20 {
				return 0, errNoLength
			}
		}
	}
}

// introspectionOf is how graphql-js introspects a schema.
func introspectionOf(b *testing.B, sdl string) string {
	b.Helper()
	cmd := exec.Command("node", filepath.Join(programs.js, "yoga.mjs"), "--introspect")
	cmd.Stdin = strings.NewReader(sdl)
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("introspect %.60s: %v", sdl, err)
	}
	return strings.TrimSpace(string(out))
}
