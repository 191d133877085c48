package gateway

import (
	"net/http"
	"time"
)

// sending is how long a client may take to send a request.
const sending = 30 * time.Second

// timely ends connections of clients that send or read so slowly that they
// would hold what a request holds for as long as they like. net/http takes the
// deadline for sending away with the last byte of a body, and both from a
// WebSocket; each event of a stream has one of its own.
func (g *Gateway) timely(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		now := time.Now()
		if r.Body != http.NoBody {
			_ = c.SetReadDeadline(now.Add(sending)) // not every server has one
		}
		_ = c.SetWriteDeadline(now.Add(g.cfg.Limits.Time + writing))
		h.ServeHTTP(w, r)
	})
}

// piece is what a client must read in the time that it has for writing.
const piece = 1 << 20

// writeInPieces gives a client more time for what is long.
func writeInPieces(w http.ResponseWriter, body []byte) {
	for len(body) > piece {
		if _, err := w.Write(body[:piece]); err != nil {
			return
		}
		body = body[piece:]
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writing))
	}
	_, _ = w.Write(body)
}
