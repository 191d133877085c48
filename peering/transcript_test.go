package peering

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// line is something that was sent.
type line struct {
	at   time.Duration
	from string
	rank int // among what is sent at the same time: answers come first
	text string
}

func (w *world) hears(from string, rank int, text string) {
	if text == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, line{w.since(), from, rank, text})
}

// forget begins a new page.
func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = nil
}

// reads compares what was sent since the last page with a text. What was sent
// at the same time stands in the order of sites.
func (w *world) reads(want string) {
	w.Helper()
	w.mu.Lock()
	slices.SortStableFunc(w.lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.from, b.from), cmp.Compare(a.rank, b.rank))
	})
	var got strings.Builder
	for _, l := range w.lines {
		fmt.Fprintf(&got, "%s> %s\n", l.from, l.text)
	}
	w.lines = nil
	w.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(want), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	if want := strings.Join(lines, "\n"); strings.TrimSpace(got.String()) != want {
		w.Errorf("was said:\n%s\nwant:\n%s", got.String(), want)
	}
}

// saysCall is a call in words; keepalives are not worth any.
func saysCall(method string, arg any) string {
	switch arg := arg.(type) {
	case opening:
		return "open" + saysInfo(arg.hello)
	case []Update:
		return says(arg)
	case Digest:
		return fmt.Sprintf("compare %d", arg.Routes)
	case string:
		return method + " " + arg
	}
	return ""
}

func saysInfo(i *Info) string {
	switch {
	case i == nil:
		return " as a collector"
	case i.Resume == nil:
		return fmt.Sprintf(" term=%d resume=-", i.Term)
	}
	return fmt.Sprintf(" term=%d resume=%s:%d", i.Term, i.Resume.Epoch, i.Resume.Version)
}

// says keeps long updates short.
func says(updates []Update) string {
	items := make([]string, len(updates))
	for i, u := range updates {
		items[i] = saysItem(u)
	}
	if n := len(items); n > 6 {
		items = []string{items[0], fmt.Sprintf("… %d more …", n-2), items[n-1]}
	}
	return strings.Join(items, ", ")
}

func saysItem(u Update) string {
	switch {
	case u.Route != nil:
		text := fmt.Sprintf("%s %s v%d path=%s", u.Type, u.Route.ID, u.Version, strings.Join(u.Route.Path, ","))
		if u.Route.Service.Region != "" {
			text += " region=" + u.Route.Service.Region
		}
		return text
	case u.Since != 0:
		return fmt.Sprintf("%s v%d since=%d", u.Type, u.Version, u.Since)
	case u.Type == endOfRIB:
		return fmt.Sprintf("%s v%d", u.Type, u.Version)
	}
	return fmt.Sprintf("%s %s@%s v%d", u.Type, u.ID, u.Site, u.Version)
}

// saysAnswer is an answer in words, where it says more than that all is well.
func saysAnswer(method string, r reply) string {
	switch {
	case r.err != nil:
		return "no: " + r.err.Error()
	case method == "open":
		return "opened" + saysInfo(as[Info](r.data))
	case method == "compare":
		return map[bool]string{true: "same", false: "differs"}[as[Comparison](r.data).Same]
	case method == "update":
		if a := as[Answer](r.data); *a != (Answer{Success: true}) {
			return fmt.Sprintf("malformed=%d refused=%d", a.Malformed, a.Refused)
		}
	}
	return ""
}

func as[T any](data []byte) *T {
	v := new(T)
	if err := json.Unmarshal(data, v); err != nil {
		panic(err)
	}
	return v
}

// read makes something typed of what came over the wire.
func read[T any](v any) *T {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return as[T](data)
}
