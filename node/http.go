package node

import (
	"fmt"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/trust"
)

// handler is every HTTP endpoint of the node (contract, section 1).
func (n *Node) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rpc", n.serveWebSocket)
	mux.Handle("POST /rpc", n.admitted(transport.BatchHandler(func(r *http.Request) *transport.Target { return n.publicAPI(n.callerOf(r), nil) },
		transport.Config{Limits: n.limits(), Log: n.log})))
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "OK") })
	mux.HandleFunc("GET /ready", n.serveReady)
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.registry(), promhttp.HandlerOpts{}))
	return mux
}

func (n *Node) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	conn, err := n.cfg.Upgrade(w, r)
	if err != nil {
		n.log.Debug("refused a WebSocket", "remote", r.RemoteAddr, "err", err)
		return
	}
	n.serveConn(r.Context(), conn, n.callerOf(r))
}

// callerOf is what the network vouches for: an address, and the node that the
// certificate names if there is one.
func (n *Node) callerOf(r *http.Request) caller {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	from := caller{address: host}
	ip := net.ParseIP(host)
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		from.local = ip.IsLoopback() || local.IP.Equal(ip)
	}
	if r.TLS != nil {
		if who, ok := n.keeper.PeerIdentity(*r.TLS); ok && who.Role == trust.Node {
			from.node = who.Name
		}
	}
	return from
}

// admitted keeps out what a browser sends for a foreign page: a POST of plain
// text needs no consent of ours, so the answer being unreadable is not enough.
func (n *Node) admitted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.cfg.Admit != nil {
			if err := n.cfg.Admit(r); err != nil {
				http.Error(w, err.Error(), http.StatusForbidden)
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}

func (n *Node) serveReady(w http.ResponseWriter, _ *http.Request) {
	if reason := n.notReady(); reason != "" {
		http.Error(w, reason, http.StatusServiceUnavailable)
		return
	}
	fmt.Fprint(w, "OK")
}
