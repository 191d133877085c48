package transport

import (
	"bytes"
	"unicode/utf8"
)

// dispatch handles one message. Its errors end the session. It never waits
// for a method.
func (s *Session) dispatch(data []byte) error {
	if len(data) > s.limits.MessageBytes {
		return violation("message of %d bytes: at most %d are accepted", len(data), s.limits.MessageBytes)
	}
	if !utf8.Valid(data) {
		return violation("bad RPC message: not UTF-8")
	}
	d := &s.decoder
	*d = decoder{scanner: scanner{data: data, keys: &s.keys}, session: s, scope: s, depth: s.limits.Depth, turn: &s.turn}
	if err := d.expect('['); err != nil {
		return err
	}
	kind, err := d.key()
	if err != nil {
		return err
	}
	switch kind {
	case "push":
		s.engage()
		return s.receivePush(d)
	case "pull":
		s.engage()
		return s.receivePull(d)
	case "resolve":
		return s.receiveResolve(d)
	case "reject":
		return s.receiveReject(d)
	case "release":
		return s.receiveRelease(d)
	case "abort":
		return s.receiveAbort(d)
	case "stream":
		s.engage()
		return s.receiveStream(d)
	case "pipe":
		return s.receivePipe(d)
	}
	return violation("bad RPC message: unknown kind %.64q", kind)
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
		_, err = s.hand(result, false)
	}
	if err != nil {
		result.release()
	}
	return err
}

// receiveStream is receivePush for a call whose outcome the peer wants unasked,
// and once.
func (s *Session) receiveStream(d *decoder) error {
	d.streaming = true
	result, err := d.pushed()
	if err != nil {
		return err
	}
	var id int64
	if err = d.close(); err == nil {
		id, err = s.hand(result, true)
	}
	if err != nil {
		result.release()
		return err
	}
	return s.answerWhenKnown(id)
}

// hand makes a result known to the peer, by the next id; once says that its
// outcome is sent once and not referred to.
func (s *Session) hand(result ref, once bool) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended:
		return 0, s.err
	case len(s.exports) >= s.limits.Exports:
		return 0, violation("more than %d results and objects are held: release some", s.limits.Exports)
	}
	id := s.nextAnswer
	s.exports[id] = &export{ref: result, count: 1, once: once}
	s.nextAnswer++
	return id, nil
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
		if to, ok := node.(*imported); ok && d.streaming && in != nil {
			result, _ := stream(to, path, in)
			return result, nil
		}
		return d.start(node, path, in), nil
	}
	p, err := d.single()
	if err != nil {
		return nil, err
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
	reason, err := d.thrown()
	if err != nil {
		return err
	}
	if i != nil {
		s.settleImport(i, nil, nil, reason)
	}
	return nil
}

// thrown reads the last expression of a message, what the peer threw.
func (d *decoder) thrown() (*Error, error) {
	start := d.pos
	d.evaluating = true
	p, err := d.last()
	if err != nil {
		return nil, err
	}
	p.release()
	reason := asError(p.args[0])
	if d.session.proxy {
		reason.raw = bytes.Clone(bytes.TrimSpace(d.data[start+1 : bytes.LastIndexByte(d.data, ']')]))
	}
	return reason, nil
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
	reason, err := d.thrown()
	if err != nil {
		return err
	}
	return &abortError{reason}
}

// abortError is the end of a session that the peer aborted.
type abortError struct{ cause error }

func (e *abortError) Error() string { return "the peer aborted: " + e.cause.Error() }
func (e *abortError) Unwrap() error { return e.cause }
