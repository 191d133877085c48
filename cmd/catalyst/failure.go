package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Exit statuses, of the contract's section 7. An interrupted command ends with
// the shell's 130.
const (
	statusRefused     = 1 // the site refused, or a node ended badly
	statusUsage       = 2
	statusUnreachable = 3
	statusInterrupted = 130
)

// failure ends the program: with a status, one line that says what is wrong,
// and often one that says what to do.
type failure struct {
	status  int
	message string
	hint    string
	code    string // of what the site refused: an ErrorCode or FailureCode of the contract
}

func (f *failure) Error() string { return f.message }

func refused(hint, format string, args ...any) *failure {
	return &failure{status: statusRefused, message: fmt.Sprintf(format, args...), hint: hint}
}

func unusable(hint, format string, args ...any) *failure {
	return &failure{status: statusUsage, message: fmt.Sprintf(format, args...), hint: hint}
}

// misused is an unusable command line; its hint is the command's usage.
func misused(cmd *cobra.Command, format string, args ...any) *failure {
	return unusable(fmt.Sprintf("usage: %s (more with --help)", cmd.UseLine()), format, args...)
}

// report tells the user how the program ended and returns its exit status.
// Errors without a status come from cobra: the command line is wrong.
func report(w io.Writer, err error) int {
	var f *failure
	switch {
	case err == nil:
		return 0
	case errors.As(err, &f):
	case errors.Is(err, context.Canceled):
		f = &failure{status: statusInterrupted, message: "interrupted"}
	default:
		f = unusable("see catalyst --help", "%v", err)
	}
	if f.code != "" {
		fmt.Fprintf(w, "error: %s (%s)\n", f.message, f.code)
	} else {
		fmt.Fprintf(w, "error: %s\n", f.message)
	}
	if f.hint != "" {
		fmt.Fprintf(w, "hint: %s\n", f.hint)
	}
	return f.status
}
