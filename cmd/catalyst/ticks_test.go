package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestWhoInterruptsALookHasRegisteredNothing, and is not told to go and see.
func TestWhoInterruptsALookHasRegisteredNothing(t *testing.T) {
	for _, protocol := range []string{"http:graphql", "http"} {
		ctx, interrupt := context.WithCancel(t.Context())
		service := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			interrupt()
			<-r.Context().Done()
		}))
		defer service.Close()
		if protocol == "http" {
			interrupt() // it is no more than a connection
		}
		site := newFakeSite()
		node := site.node("a")
		defer node.stop()

		var out, errs bytes.Buffer
		root := newRoot(nil, &out, &errs, nil)
		root.SetArgs([]string{"service", "add", "x", service.URL, "-p", protocol, "--address", node.address()})
		status := report(&errs, root.ExecuteContext(ctx))
		if out.String() != "" || errs.String() != "error: interrupted\n" || status != statusInterrupted || site.actions != 0 {
			t.Errorf("%s: stdout %q, stderr %q, status %d, %d actions", protocol, out.String(), errs.String(), status, site.actions)
		}
	}
}
