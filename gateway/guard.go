package gateway

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/catalyst/orchestrator/transport/ws"
)

// guard refuses requests under names that are not the gateway's: a web page
// whose name was made to point here would ask in the name of whoever looks at
// it. It also keeps to Origins where there are any; WebSockets and /api mind
// the origin in any case.
func (g *Gateway) guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.refusal(r); err != nil && r.URL.Path != "/health" {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func (g *Gateway) refusal(r *http.Request) error {
	if !g.servesHost(r) {
		return fmt.Errorf("host %.200q is not served here: have the gateway allow it", r.Host)
	}
	if len(g.cfg.Origins) == 0 || r.Header["Origin"] == nil {
		return nil
	}
	return ws.Options{Origins: g.cfg.Origins}.Allow(r)
}

func (g *Gateway) servesHost(r *http.Request) bool {
	if len(g.cfg.Hosts) > 0 {
		return slices.ContainsFunc(g.cfg.Hosts, func(h string) bool { return strings.EqualFold(h, r.Host) })
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return local == nil || !local.IP.IsLoopback() || isLocal(r.Host)
}

// isLocal says whether a name, with its port, can be of this machine only. The
// port is not the gateway's own where a tunnel ends here.
func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if host == "" || strings.EqualFold(host, "localhost") {
		return true // without a name it comes from no browser
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
