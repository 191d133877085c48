package transport

import (
	"context"
	"io"
)

// openPipe makes a stream for this side to write.
func (s *Session) openPipe() (*imported, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended:
		return nil, s.err
	case len(s.imports) >= s.limits.Imports:
		return nil, s.crowdedLocked()
	}
	m := newMessage()
	m.raw(`["pipe"]`)
	i := &imported{session: s, id: s.nextPush, refs: 1, remote: 1}
	s.nextPush++
	s.imports[i.id] = i
	s.sendLocked(m)
	return i, nil
}

// piping is a stream on its way to the peer.
type piping struct {
	from *Readable
	to   *imported
}

// startLocked begins to write the stream to the peer. What another session
// brings is handed through, anything else is read and written here.
func (s *Session) startLocked(p piping) {
	if _, through := p.from.source.(*pipeSource); through {
		return
	}
	s.owed++
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		p.pump(s)
		s.settled()
	}()
}

// handThrough is the other half of startLocked, for which the session must not
// be locked.
func (s *Session) handThrough(p piping) {
	if r, ok := p.from.source.(*pipeSource); ok {
		r.pipe.passTo(p.to)
	}
}

// pump reads the stream here and writes it to the peer.
func (p piping) pump(s *Session) {
	w := &Writable{stub: &Stub{ref: p.to}, unpaced: s.unpaced}
	stop := context.AfterFunc(s.ctx, func() { p.from.source.cancel(s.Err()) })
	defer stop()
	for {
		chunk, err := p.from.source.next(s.ctx)
		if err != nil {
			stop() // it has ended by itself
		}
		if err == io.EOF {
			p.finish(w, s)
			return
		}
		if err != nil {
			w.Abort(err)
			return
		}
		err = w.Send(s.ctx, chunk)
		ReleaseAll(chunk)
		if err != nil {
			if stop() {
				p.from.source.cancel(err)
			}
			w.Release()
			return
		}
	}
}

func (p piping) finish(w *Writable, s *Session) {
	if s.unpaced {
		w.finish("close", func(error) {}) // no answer can come
		return
	}
	_ = w.Close() // the reader has the error
}

// drop undoes a stream that was not sent.
func (p piping) drop() {
	p.to.release()
	p.from.unpass()
}

// stream calls a writer's method by a message that needs no pull and no
// release. size is how many bytes that took, 0 when none left this process.
func stream(to ref, path []any, in *payload) (result ref, size int) {
	if i, ok := to.(*imported); ok {
		if _, _, known := i.outcome(); !known {
			return i.session.sendStream(i, path, in)
		}
	}
	return to.call(path, in), 0
}
