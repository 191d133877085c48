package main

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/catalyst/orchestrator/transport"
)

// pageSize is how many routes one call asks for; lists may be far longer than
// a message.
const pageSize = 5_000

// query is what the contract's Query takes, and where a page starts.
type query struct {
	Consistency string `json:"consistency,omitempty"`
	Name        string `json:"name,omitempty"`
	Protocol    string `json:"protocol,omitempty"`
	Site        string `json:"site,omitempty"`
	Limit       int    `json:"limit"`
	After       string `json:"after,omitempty"`

	stale bool
}

// route is the contract's Route.
type route struct {
	ID            string      `json:"id"`
	Service       dataChannel `json:"service"`
	Site          string      `json:"site"`
	Source        string      `json:"source"`
	Peer          string      `json:"peer"`
	Path          []string    `json:"path"`
	Best          bool        `json:"best"`
	Stale         bool        `json:"stale"`
	CreatedAt     int64       `json:"createdAt"`
	ModifiedAt    int64       `json:"modifiedAt"`
	CreatedIndex  uint64      `json:"createdIndex"`
	ModifiedIndex uint64      `json:"modifiedIndex"`
}

type routeList struct {
	Routes []route `json:"routes"`
}

func (q *query) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&q.Name, "name", "", "only services of this `name`")
	flags.StringVarP(&q.Protocol, "protocol", "p", "", "only this `protocol`")
	q.addStale(flags)
}

func (q *query) addStale(flags *pflag.FlagSet) {
	flags.BoolVar(&q.stale, "stale", false, "answer from what the node has, also without a leader")
}

// asked is the query as a node takes it.
func (q query) asked() query {
	if q.stale {
		q.Consistency = "stale"
	}
	return q
}

// list asks for all routes of a query, page by page, and joins the pages to
// one answer. Its index is that of the last page; a route that changes while
// the pages are read may show either state.
func (c *client) list(ctx context.Context, method string, q query) (map[string]any, error) {
	q.Limit = pageSize
	answer, err := c.ask(ctx, func(ctx context.Context, scope *transport.Promise) (any, error) {
		return pages(ctx, scope, method, q.asked())
	})
	whole, _ := answer.(map[string]any)
	return whole, err
}

func pages(ctx context.Context, scope *transport.Promise, method string, q query) (any, error) {
	all := []any{}
	for {
		page, err := transport.Await[map[string]any](ctx, scope.Call(method, q))
		if err != nil {
			return nil, err
		}
		routes, _ := page["routes"].([]any)
		all = append(all, routes...)
		more, _ := page["more"].(bool)
		if !more || len(routes) == 0 {
			delete(page, "more")
			page["routes"] = all
			return page, nil
		}
		last, _ := routes[len(routes)-1].(map[string]any)
		q.After, _ = last["id"].(string)
	}
}
