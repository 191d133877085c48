package main

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/transport/ws"
)

// messageBytes is the longest message that the reference accepts, 32 Mi
// characters, at three bytes each.
const messageBytes = 96 << 20

// A relay leaves it to the two ends to be strict. What it bounds is its own
// memory.
var (
	options = ws.Options{MessageBytes: messageBytes}
	limits  = transport.Limits{
		MessageBytes: messageBytes, BufferedBytes: 256 << 20,
		Calls: 1 << 20, Exports: 1 << 20, Imports: 1 << 20,
	}
)

// dialTime bounds the opening of a connection to the target.
const dialTime = 10 * time.Second

// relay answers each WebSocket and each POST with the target's main object.
type relay struct{ target string }

// answer answers a request; what that starts ends with ctx. Pages of other
// origins get 403, and all get 502 when the target cannot be reached.
func (r *relay) answer(ctx context.Context, w http.ResponseWriter, request *http.Request) {
	upgrade := strings.EqualFold(request.Header.Get("Upgrade"), "websocket")
	if err := options.Allow(request); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	if !upgrade && request.Method != http.MethodPost {
		transport.ServeBatch(w, request, transport.Config{}) // says what is served
		return
	}
	up, err := r.dial(request.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	if upgrade {
		converse(ctx, w, request, up)
		return
	}
	batch(w, request, up)
}

func (r *relay) dial(ctx context.Context) (transport.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	return ws.Dial(ctx, r.target, options)
}

// converse serves a client on a WebSocket. The end of either session is that
// of the other, at once and for the same reason. The request's own context says
// nothing: it ends when a client is cut off before the upgrade is complete.
func converse(ctx context.Context, w http.ResponseWriter, r *http.Request, target transport.Conn) {
	client, err := ws.Accept(w, r, options)
	if err != nil {
		_ = target.Close(&transport.ClosedError{Code: 1006}) // as the client's went
		return
	}
	up := transport.NewSession(target, transport.Config{Limits: limits, Proxy: true})
	down := transport.NewSession(client, transport.Config{Main: up.Main(), Limits: limits, Proxy: true})
	passOn := func(other *transport.Session) func(error) {
		return func(reason error) {
			if ctx.Err() == nil { // else both end in good order
				other.Abort(reason)
			}
		}
	}
	up.Offer(down.Main())
	up.Main().OnBroken(passOn(down))
	down.Main().OnBroken(passOn(up))
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { _ = up.Run(ctx) }) // client and target are told why they ended
	_ = down.Run(ctx)
}

// batch serves a client's POST.
func batch(w http.ResponseWriter, r *http.Request, target transport.Conn) {
	ctx, cancel := context.WithCancel(r.Context())
	up := transport.NewSession(target, transport.Config{Limits: limits, Proxy: true})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = up.Run(ctx) }) // the batch's calls say why it ended
	transport.ServeBatch(w, r, transport.Config{Main: up.Main(), Limits: limits, Proxy: true})
}
