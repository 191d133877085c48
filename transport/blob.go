package transport

import "sync"

// Blob is bytes with a MIME type, which may be empty. It travels as a stream
// and arrives whole; a call that it is an argument of waits for it.
type Blob struct {
	Type string
	Data []byte
}

// blob reads ["blob", type, ["readable", id]]. The value is a promise for the
// Blob: its bytes are still to come.
func (d *decoder) blob() (any, error) {
	kind, err := d.nextText()
	if err != nil {
		return nil, err
	}
	if err := d.next(); err != nil {
		return nil, err
	}
	v, err := d.value()
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case *Readable:
		if p, ok := v.source.(*pipeSource); ok && v.pass() == nil {
			c := &collector{answer: d.session.newAnswer(), kind: kind}
			c.answer.retain() // the promise's
			p.pipe.passTo(c)
			return &Promise{ref: c.answer, blob: true}, nil
		}
	case Blob: // a copy within this process
		return v, nil
	case *Promise:
		v.Release()
	}
	return nil, violation("a blob's content is a stream, not %s", kindOf(v))
}

// collector is where the stream of a Blob goes to.
type collector struct {
	*answer
	kind string

	mu   sync.Mutex
	data []byte
	over error // why nothing more is taken
}

func (c *collector) call(path []any, in *payload) ref {
	s := c.session
	owned, err := in.own(s)
	if err != nil {
		return s.rejected(err)
	}
	defer owned.release()
	size, err := c.take(path[0], owned.first())
	switch {
	case err != nil:
		s.discharge(c.answer) // its bytes are gone, whenever the peer lets go of it
		c.resolve(nil, nil, err)
		return s.rejected(err)
	case path[0] == "write":
		s.chargeBytes(c.answer, size)
	case path[0] == "close":
		c.resolve(Blob{Type: c.kind, Data: c.data}, nil, nil)
	default:
		s.discharge(c.answer)
		c.resolve(nil, nil, c.over)
	}
	return s.answered(Undefined{}, nil)
}

// take takes in what the writer says, and gives the bytes that it brought.
func (c *collector) take(method, arg any) (size int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over != nil {
		return 0, c.over
	}
	switch method {
	case "close":
		c.over = errStreamClosed
		return 0, nil
	case "abort":
		c.over, c.data = asError(arg), nil
		return 0, nil
	}
	data, err := bytesOf(arg)
	if limit := c.session.limits.HeldBytes; err == nil && len(c.data)+len(data) > limit {
		err = tooLarge("a blob", limit)
	}
	if err != nil {
		c.over, c.data = err, nil
		return 0, err
	}
	c.data = append(c.data, data...)
	return len(data), nil
}

// release is the end of the stream, in good order or not.
func (c *collector) release() {
	c.resolve(nil, nil, errStreamDropped)
	c.answer.release()
}
