package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"unicode"
)

// reason is the innermost part of a network error that tells a person
// something; libraries wrap it in several layers that do not.
func reason(err error) string {
	var (
		dns *net.DNSError
		op  *net.OpError
		sys syscall.Errno
		d   *dialError
	)
	switch {
	case errors.As(err, &d) && d.said != "":
		return d.said
	case errors.As(err, &dns):
		return "no such host " + dns.Name
	case errors.As(err, &sys):
		return sys.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no connection in time"
	case errors.As(err, &op):
		return op.Err.Error()
	case errors.As(err, &d) && errors.Unwrap(d.err) != nil:
		return oneLine(errors.Unwrap(d.err).Error()) // the address is named already
	default:
		return oneLine(err.Error())
	}
}

// isNetwork tells whether the network failed, or time ran out.
func isNetwork(err error) bool {
	var (
		dns *net.DNSError
		sys syscall.Errno
	)
	return errors.As(err, &dns) || errors.As(err, &sys) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, context.Canceled) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF)
}

// oneLine keeps an error to a line of output. It may quote another site, whose
// words must not drive the terminal.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
}
