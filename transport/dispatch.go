package transport

import (
	"bytes"
	"errors"
	"unicode/utf8"
)

// dispatch handles one message. Its errors end the session. It never waits
// for a method.
func (s *Session) dispatch(data []byte) error {
	if len(data) > s.limits.MessageBytes {
		return violation("message of %d bytes: at most %d are accepted", len(data), s.limits.MessageBytes)
	}
	if !utf8.Valid(data) {
		return violation("malformed message: not UTF-8")
	}
	d := &s.decoder
	*d = decoder{scanner: scanner{data: data, keys: &s.keys}, session: s, scope: s, depth: s.limits.Depth}
	if err := d.expect('['); err != nil {
		return err
	}
	kind, err := d.key()
	if err != nil {
		return err
	}
	switch kind {
	case "push":
		return s.receivePush(d)
	case "pull":
		return s.receivePull(d)
	case "resolve":
		return s.receiveResolve(d)
	case "reject":
		return s.receiveReject(d)
	case "release":
		return s.receiveRelease(d)
	case "abort":
		return s.receiveAbort(d)
	case "stream", "pipe":
		return violation("messages of kind %q are not supported", kind)
	}
	return violation("unknown kind of message %.64q", kind)
}

// last evaluates the one expression left in a message, and sees it end.
func (d *decoder) last() (*payload, error) {
	if err := d.next(); err != nil {
		return nil, err
	}
	p, err := d.single()
	if err != nil {
		return nil, err
	}
	if err := d.close(); err != nil {
		p.release()
		return nil, err
	}
	return p, nil
}

func (d *decoder) close() error {
	if err := d.expect(']'); err != nil {
		return err
	}
	return d.end()
}

func (s *Session) receivePush(d *decoder) error {
	result, err := d.pushed()
	if err != nil {
		return err
	}
	if err = d.close(); err == nil {
		err = s.hand(result)
	}
	if err != nil {
		result.release()
	}
	return err
}

// hand makes the result of a push known to the peer, by the next id.
func (s *Session) hand(result ref) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended:
		return s.err
	case len(s.exports) >= s.limits.Exports:
		return violation("more than %d results and objects are held: release some", s.limits.Exports)
	}
	s.exports[s.nextAnswer] = &export{ref: result, count: 1}
	s.nextAnswer++
	return nil
}

const pipeline = `["pipeline"`

// pushed evaluates what a push holds. As a rule that is a call, whose result
// then needs no payload to travel in.
func (d *decoder) pushed() (ref, error) {
	if err := d.next(); err != nil {
		return nil, err
	}
	if d.peek() == '[' && bytes.HasPrefix(d.data[d.pos:], []byte(pipeline)) {
		d.pos += len(pipeline)
		node, path, in, err := d.located()
		if err != nil {
			return nil, err
		}
		if err := d.expect(']'); err != nil {
			in.release()
			return nil, err
		}
		return d.start(node, path, in), nil
	}
	p, err := d.single()
	if err != nil {
		return nil, err
	}
	if p.fault != nil {
		p.release()
		return d.session.rejected(p.fault), nil
	}
	if promise, ok := p.args[0].(*Promise); ok {
		return promise.ref, nil
	}
	a := d.session.answered(p.args[0], p.handles())
	d.session.charge(a, a.value)
	return a, nil
}

func (s *Session) receivePull(d *decoder) error {
	id, err := d.nextInteger()
	if err == nil {
		err = d.close()
	}
	if err != nil {
		return err
	}
	return s.answerWhenKnown(id)
}

// answerWhenKnown sends the outcome of an export once it is there.
func (s *Session) answerWhenKnown(id int64) error {
	s.mu.Lock()
	x := s.exports[id]
	if x == nil {
		defer s.mu.Unlock()
		return s.unknown(id)
	}
	again := x.asked
	x.asked = true
	if !again {
		s.owed++
	}
	s.mu.Unlock()
	if again {
		return nil
	}
	s.follow(x.ref, func(v any, err error) { s.sendOutcome(id, x, v, err) })
	return nil
}

func (s *Session) unknown(id int64) error {
	if s.ended {
		return s.err
	}
	return violation("no object or result with id %d", id)
}

// follow runs f with r's outcome. It stops at a promise of the same peer: the
// peer knows that outcome first.
func (s *Session) follow(r ref, f func(any, error)) {
	e, ok := r.(eventual)
	if !ok {
		f(nil, errNoPromise)
		return
	}
	if i, ok := r.(*imported); ok && !i.promise {
		f(nil, errNoPromise)
		return
	}
	e.ask()
	e.whenSettled(func() {
		v, err, _ := e.outcome()
		if p, ok := v.(*Promise); ok && err == nil && !s.pending(p) {
			s.follow(p.Pull().ref, f)
			return
		}
		if a, ok := e.(*answer); ok {
			afterParts(a.parts(), func() { f(v, err) })
			return
		}
		f(v, err)
	})
}

// afterParts runs f when the answers among an outcome's parts are there, so
// that the results of a map travel in one message.
func afterParts(parts []releaser, f func()) {
	for i, part := range parts {
		p, ok := part.(*Promise)
		if !ok {
			continue
		}
		if a, ok := p.ref.(*answer); ok {
			if _, _, known := a.outcome(); !known {
				a.whenSettled(func() { afterParts(parts[i+1:], f) })
				return
			}
		}
	}
	f()
}

// pending says whether p is a promise of this session's peer without outcome.
func (s *Session) pending(p *Promise) bool {
	i, ok := p.ref.(*imported)
	if !ok || i.session != s {
		return false
	}
	_, _, known := i.outcome()
	return !known
}

func (s *Session) sendOutcome(id int64, x *export, v any, err error) {
	if err == nil {
		err = s.sendResult(id, x, v)
	}
	if err != nil {
		s.sendRejection(id, x, err)
	}
	s.settled()
}

var errNotWanted = errors.New("the peer released the result")

// sendResult fails only when v cannot be encoded.
func (s *Session) sendResult(id int64, x *export, v any) error {
	m := s.newMessage()
	m.raw(`["resolve",`)
	m.integer(id)
	m.raw(",")
	if err := m.outcome(func() error { return m.value(v) }); err != nil {
		s.discard(m)
		return err
	}
	m.raw("]")
	_ = s.send(m, func() error { return s.wantedLocked(id, x) })
	return nil
}

// sendRejection sends an error, without references.
func (s *Session) sendRejection(id int64, x *export, err error) {
	m := s.newMessage()
	m.table = nil
	m.raw(`["reject",`)
	m.integer(id)
	m.raw(",")
	start := len(m.buf)
	if failed := m.outcome(func() error { return m.failure(err) }); failed != nil {
		m.buf = m.buf[:start]
		_ = m.failure(failed) // plain text always encodes
	}
	m.raw("]")
	_ = s.send(m, func() error { return s.wantedLocked(id, x) })
}

func (s *Session) wantedLocked(id int64, x *export) error {
	if s.exports[id] != x {
		return errNotWanted
	}
	return nil
}

// receiveResolve takes in an outcome also when it is no longer wanted: the
// objects in it must be released.
func (s *Session) receiveResolve(d *decoder) error {
	i, err := s.expecting(d)
	if err != nil {
		return err
	}
	p, err := d.last()
	if err != nil {
		return err
	}
	if i == nil {
		p.release()
		return nil
	}
	s.resolveImport(i, p)
	return nil
}

func (s *Session) receiveReject(d *decoder) error {
	i, err := s.expecting(d)
	if err != nil {
		return err
	}
	p, err := d.last()
	if err != nil {
		return err
	}
	p.release()
	if i != nil {
		s.settleImport(i, nil, nil, thrown(p))
	}
	return nil
}

// thrown makes an error of whatever the peer threw.
func thrown(p *payload) error {
	if p.fault != nil {
		return p.fault
	}
	if err, ok := p.args[0].(*Error); ok {
		return err
	}
	return &Error{Message: "the peer threw " + kindOf(p.args[0]), Props: map[string]any{"thrown": p.args[0]}}
}

// expecting reads the id of an outcome. The entry is nil when it was released.
func (s *Session) expecting(d *decoder) (*imported, error) {
	id, err := d.nextInteger()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.imports[id]
	switch {
	case id >= s.nextPush || i == nil && id == 0:
		return nil, violation("an outcome for id %d, which was not asked for", id)
	case i != nil && !i.promise:
		return nil, violation("an outcome for id %d, which is not a promise", id)
	}
	return i, nil
}

func (s *Session) receiveRelease(d *decoder) error {
	id, err := d.nextInteger()
	if err != nil {
		return err
	}
	count, err := d.nextInteger()
	if err == nil {
		err = d.close()
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	x := s.exports[id]
	switch {
	case x == nil:
		defer s.mu.Unlock()
		return s.unknown(id)
	case count < 0 || count > int64(x.count):
		defer s.mu.Unlock()
		return violation("release of id %d by %d, which has %d references", id, count, x.count)
	}
	x.count -= int(count)
	gone := x.count == 0
	if gone {
		delete(s.exports, id)
	}
	s.mu.Unlock()
	if gone {
		x.ref.release()
	}
	return nil
}

func (s *Session) receiveAbort(d *decoder) error {
	p, err := d.last()
	if err != nil {
		return err
	}
	p.release()
	return &abortError{thrown(p)}
}

// abortError is the end of a session that the peer aborted.
type abortError struct{ cause error }

func (e *abortError) Error() string { return "the peer aborted: " + e.cause.Error() }
func (e *abortError) Unwrap() error { return e.cause }

// A session is the scope of the messages that it receives.

func (s *Session) lookup(id int64) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.exports[id]; x != nil {
		return x.ref, nil
	}
	return nil, s.unknown(id)
}

func (s *Session) importStub(id int64) (ref, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.imported(id, false)
}

func (s *Session) importPromise(id int64) (ref, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.imported(id, true)
}

func (s *Session) imported(id int64, promise bool) (ref, error) {
	if s.ended {
		return nil, s.err
	}
	i, err := s.importLocked(id, promise)
	if err != nil {
		return nil, err
	}
	return i, nil
}
