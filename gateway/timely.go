package gateway

import (
	"net/http"
	"time"
)

// sending is how long a client may take to send a request.
const sending = 30 * time.Second

// Server is a server with the limits that a Gateway leaves to it: clients that
// send slowly, or nothing, would hold what a request holds for as long as they
// like. net/http takes the limit away with the last byte of a body.
func Server(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: sending, IdleTimeout: 2 * time.Minute}
}

// piece is what a client must read in the time that it has for writing. What is
// no longer than small holds no more than an idle connection does, and a
// deadline costs a sixth of a query.
const (
	piece = 1 << 20
	small = 16 << 10
)

// writeInPieces ends connections of clients that do not go on reading.
func writeInPieces(w http.ResponseWriter, body []byte) {
	if len(body) <= small {
		_, _ = w.Write(body)
		return
	}
	c := http.NewResponseController(w)
	for len(body) > 0 {
		_ = c.SetWriteDeadline(time.Now().Add(writing)) // not every server has one
		n, err := w.Write(body[:min(piece, len(body))])
		if err != nil {
			return
		}
		body = body[n:]
	}
}

// timely is writeInPieces for what other handlers write in one piece.
func timely(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writing))
		h.ServeHTTP(w, r)
	})
}
