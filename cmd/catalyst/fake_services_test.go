package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// serves NAME KIND starts a service, whose URL is $NAME from then on:
//
//	graphql QUERIES [MUTATIONS [SUBSCRIPTIONS]]  at /graphql, with these root fields; elsewhere 404
//	says STATUS TYPE BODY                        the same to everybody; BODY of a redirect is where it leads
//	silent                                       nothing, to nobody
func cmdServes(ts *testscript.TestScript, _ bool, args []string) {
	var handler http.HandlerFunc
	switch args[1] {
	case "graphql":
		handler = fakeGraphQL(args[2:])
	case "says":
		status, err := strconv.Atoi(args[2])
		ts.Check(err)
		handler = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", args[3])
			w.Header().Set("Location", args[4])
			w.WriteHeader(status)
			_, _ = io.WriteString(w, args[4])
		}
	case "silent":
		handler = func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // unread it would hide that the client has gone
			<-r.Context().Done()
		}
	default:
		ts.Fatalf("unknown: serves %v", args)
	}
	server := httptest.NewServer(handler)
	ts.Defer(server.Close)
	ts.Setenv(args[0], server.URL)
}

// fakeGraphQL answers introspection, and nothing else.
func fakeGraphQL(roots []string) http.HandlerFunc {
	schema := map[string]any{}
	types := []any{}
	for i, fields := range roots {
		kind := []string{"query", "mutation", "subscription"}[i]
		var all []any
		for name := range strings.SplitSeq(fields, ",") {
			all = append(all, map[string]any{"name": name, "args": []any{}, "type": map[string]any{"kind": "SCALAR", "name": "Int"}})
		}
		schema[kind+"Type"] = map[string]any{"name": "Of" + kind}
		types = append(types, map[string]any{"kind": "OBJECT", "name": "Of" + kind, "fields": all})
	}
	schema["types"] = types
	text, err := json.Marshal(map[string]any{"data": map[string]any{"__schema": schema}})
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/graphql" || err != nil {
			http.Error(w, fmt.Sprint("nothing here ", err), http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text)
	}
}
