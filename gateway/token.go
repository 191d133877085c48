package gateway

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"time"
)

// checkToken says why a token cannot be shown in a header.
func checkToken(token string) error {
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("api token: want printable ASCII without spaces")
	}
	return nil
}

// authorise lets those at /api who show the token, if one is wanted, and tells
// others what is missing.
func (g *Gateway) authorise(w http.ResponseWriter, r *http.Request) bool {
	if g.cfg.APIToken == "" {
		return true
	}
	scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	want, got := sha256.Sum256([]byte(g.cfg.APIToken)), sha256.Sum256([]byte(shown))
	if strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(want[:], got[:]) == 1 {
		return true
	}
	why := "the token is not this gateway's: give the nodes the one that it was started with"
	if shown == "" {
		why = "this gateway wants a token: give it to the nodes (--gateway-token)"
	}
	g.complain(r.RemoteAddr, why)
	w.Header().Set("WWW-Authenticate", "Bearer")
	http.Error(w, why, http.StatusUnauthorized)
	return false
}

// complaints is how often it is logged at most that somebody showed no good
// token: whoever wants to fill a disk has time.
const complaints = 10 * time.Second

func (g *Gateway) complain(who, why string) {
	now, last := time.Now().UnixNano(), g.complained.Load()
	if now-last >= int64(complaints) && g.complained.CompareAndSwap(last, now) {
		g.log.Warn("somebody was refused at /api", "from", who, "err", why)
	}
}
