package ws

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Allow says why a request must not be served: upgraded, or taken as a batch. A page of another origin can
// make a browser open a WebSocket here (there is no same-origin rule for
// them), and a name that was rebound to this address can make it look like
// the same origin: the first is kept out by Origin, the second by Host.
func (o Options) Allow(r *http.Request) error {
	if len(o.Hosts) > 0 && !slices.ContainsFunc(o.Hosts, func(h string) bool { return strings.EqualFold(h, r.Host) }) {
		return fmt.Errorf("host %q is not served here", r.Host)
	}
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return nil
	}
	for _, origin := range origins {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || !o.allowsOrigin(u, r.Host) {
			return fmt.Errorf("origin %q is not allowed", origin)
		}
	}
	return nil
}

func (o Options) allowsOrigin(u *url.URL, host string) bool {
	return strings.EqualFold(u.Host, host) ||
		slices.ContainsFunc(o.Origins, func(h string) bool { return strings.EqualFold(h, u.Host) })
}
