package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/go-json-experiment/json"
)

// longestLine bounds one action, in bytes; a node takes no larger one.
const longestLine = 1 << 20

// item is one action of a file, decoded once and sent as often as it takes.
type item struct {
	line int
	key  string // what it is about: items of one key are sent one after the other
	body map[string]any
}

// lines reads actions from a file, one JSON object a line. Blank lines are
// skipped; a malformed one is reported to bad and the rest goes on.
type lines struct {
	in     io.Reader
	prefix string // of the requestIds that it gives out
	bad    func(line int, err error)
	bytes  atomic.Int64 // read so far
}

// read sends the items to out, and closes it.
func (l *lines) read(ctx context.Context, out chan<- *item) error {
	defer close(out)
	r := bufio.NewReaderSize(l.in, longestLine)
	for n := 1; ; n++ {
		text, err := r.ReadSlice('\n')
		l.bytes.Add(int64(len(text)))
		if errors.Is(err, bufio.ErrBufferFull) {
			l.bad(n, fmt.Errorf("longer than %d bytes", longestLine))
			err = l.skip(r)
		} else if i := l.item(n, text); i != nil {
			select {
			case out <- i:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read line %d: %w", n, err)
		}
	}
}

// skip reads to the end of a line that is too long.
func (l *lines) skip(r *bufio.Reader) error {
	for {
		text, err := r.ReadSlice('\n')
		l.bytes.Add(int64(len(text)))
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

func (l *lines) item(n int, text []byte) *item {
	if text = bytes.TrimSpace(text); len(text) == 0 {
		return nil
	}
	i := &item{line: n}
	if text[0] != '{' {
		l.bad(n, errors.New(`not an action: want a JSON object such as {"resource":"dataChannel","action":"create","data":{…}}`))
		return nil
	}
	if err := json.Unmarshal(text, &i.body); err != nil {
		l.bad(n, fmt.Errorf("not JSON: %s", oneLine(err.Error())))
		return nil
	}
	if id, _ := i.body["requestId"].(string); id == "" {
		i.body["requestId"] = fmt.Sprintf("%s-%d", l.prefix, n)
	}
	i.key = i.subject()
	return i
}

// subject is what an action is about: a service by its name, whatever the
// protocol and however that is spelled, and everything else by its resource.
func (i *item) subject() string {
	data, _ := i.body["data"].(map[string]any)
	if name, _ := data["name"].(string); name != "" {
		return "name " + name
	}
	if id, _ := data["id"].(string); id != "" {
		name, _, _ := strings.Cut(id, ":")
		return "name " + name
	}
	resource, _ := i.body["resource"].(string)
	return "resource " + resource
}
