package transport

import (
	"errors"
	"fmt"
)

// Error is an error as it crosses the wire. A Method that returns one rejects
// its call with all of it but Stack, which never leaves the process (a proxy
// hands on what its peer sent); Await returns one for a call that the peer
// rejected.
type Error struct {
	Name    string // JavaScript's class: "Error", "TypeError", …; empty means "Error"
	Message string
	Stack   string // only received, and only from peers that send it
	// Props are the error's own properties. "cause" and "errors" are
	// JavaScript's. What cannot be sent is left out.
	Props map[string]any

	raw []byte // what a proxy received, and sends on
}

// Error gives the message alone; the class adds nothing for a reader in Go.
func (e *Error) Error() string { return e.Message }

// Code is the own property "code" if that is a string.
func (e *Error) Code() string {
	code, _ := e.Props["code"].(string)
	return code
}

// Unwrap gives the own properties "cause" and "errors" to errors.Is and As.
func (e *Error) Unwrap() []error {
	var causes []error
	if cause, ok := e.Props["cause"].(error); ok {
		causes = append(causes, cause)
	}
	if list, ok := e.Props["errors"].([]any); ok {
		for _, item := range list {
			if cause, ok := item.(error); ok {
				causes = append(causes, cause)
			}
		}
	}
	return causes
}

// Both match by errors.Is. A call that fails with ErrBroken and not ErrUnsent
// has an unknown outcome.
var (
	// ErrBroken is the failure of a call whose session ended before the answer
	// came.
	ErrBroken = errors.New("session ended")
	// ErrUnsent is the failure of a call that was never handed to the
	// connection: it had no effect and can be repeated. When that is because
	// the session ended, as it is except for Invoke, ErrBroken matches too. What a call is pipelined on is
	// a call of its own, which may have been sent.
	ErrUnsent = errors.New("call not sent")
)

// brokenError is ErrBroken with the reason.
type brokenError struct{ cause error }

func (e *brokenError) Error() string   { return ErrBroken.Error() + ": " + e.cause.Error() }
func (e *brokenError) Unwrap() []error { return []error{ErrBroken, e.cause} }

// unsentError is ErrUnsent with the reason.
type unsentError struct{ cause error }

func (e *unsentError) Error() string   { return ErrUnsent.Error() + ": " + e.cause.Error() }
func (e *unsentError) Unwrap() []error { return []error{ErrUnsent, e.cause} }

// unsent is why a call was not sent: the end of its session is a reason to
// repeat it, any other error is its answer.
func unsent(err error) error {
	if ended, ok := err.(*brokenError); ok {
		return &unsentError{ended}
	}
	return err
}

func typeErrorf(format string, args ...any) *Error {
	return &Error{Name: "TypeError", Message: fmt.Sprintf(format, args...)}
}

// overloaded is the rejection of what a limit refuses; its own property code
// is "overloaded".
func overloaded(format string, args ...any) *Error {
	return &Error{Message: fmt.Sprintf(format, args...), Props: map[string]any{"code": "overloaded"}}
}

// tooLarge is the rejection of what has more than limit bytes; its own
// property code is "too_large".
func tooLarge(what string, limit int) *Error {
	return &Error{
		Message: fmt.Sprintf("%s has more than %d bytes", what, limit),
		Props:   map[string]any{"code": "too_large"},
	}
}

// protocolError is a violation by the peer; it aborts the session.
type protocolError struct{ message string }

func (e *protocolError) Error() string { return e.message }

func violation(format string, args ...any) error {
	return &protocolError{message: fmt.Sprintf(format, args...)}
}

var (
	errReleased = &Error{Message: "the stub was released"}
	errOneWay   = &Error{Message: "the sender of an HTTP batch cannot be called back: only pipeline on its objects"}
	errDropped  = &Error{Message: "the promise was released"}
)
