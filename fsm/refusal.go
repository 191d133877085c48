package fsm

// Code tells why something was refused; the empty code means that it was
// done. The values are the ErrorCode of the RPC contract, and Internal, which
// callers report as a failure.
type Code string

const (
	Invalid   Code = "invalid"   // the data breaks a rule that no state could change
	Forbidden Code = "forbidden" // a join token that is over; else for what runs before a table
	NotFound  Code = "not_found" // what the command names does not exist
	Conflict  Code = "conflict"  // what the command names is already something else
	TooLarge  Code = "too_large" // a bound of the table is reached
	Internal  Code = "internal"  // a defect: the command was undone
)

// Refusal is an answer, not a failure: it says in one sentence what was wrong
// with which field and what to do.
type Refusal struct {
	Code    Code
	Message string
}

func (r *Refusal) Error() string { return r.Message }

func invalid(message string) *Refusal { return &Refusal{Code: Invalid, Message: message} }
