package transport

import "context"

// Caller is what calls are made on: a *Stub or a *Promise.
type Caller interface {
	Call(method string, args ...any) *Promise
}

// Invoke calls a method, waits for the outcome and decodes it into a T. Errors
// are those of Await. ctx ends the wait, never the connection, and the outcome
// is then unknown; when ctx has ended before, nothing is sent and ErrUnsent
// matches.
func Invoke[T any](ctx context.Context, on Caller, method string, args ...any) (T, error) {
	if ctx.Err() != nil {
		var none T
		return none, &unsentError{context.Cause(ctx)}
	}
	return Await[T](ctx, on.Call(method, args...))
}

// Method0 makes a Method of a function without arguments. Method1 to Method3
// have arguments, which are decoded as by Call.Decode: an error names the
// argument and rejects the call. As in JavaScript, what is absent or undefined
// is zero, which a pointer tells from a zero that was given, and arguments too
// many are ignored. A *Stub must be given, and is released when the function
// returns: Dup what is kept.
func Method0[R any](f func(context.Context) (R, error)) Method {
	return func(ctx context.Context, _ *Call) (any, error) { return f(ctx) }
}

// Method1 makes a Method of a function with one argument, see Method0.
func Method1[A, R any](f func(context.Context, A) (R, error)) Method {
	return func(ctx context.Context, call *Call) (any, error) {
		var a A
		if err := call.arguments(&a); err != nil {
			return nil, err
		}
		return f(ctx, a)
	}
}

// Method2 makes a Method of a function with two arguments, see Method0.
func Method2[A, B, R any](f func(context.Context, A, B) (R, error)) Method {
	return func(ctx context.Context, call *Call) (any, error) {
		var a A
		var b B
		if err := call.arguments(&a, &b); err != nil {
			return nil, err
		}
		return f(ctx, a, b)
	}
}

// Method3 makes a Method of a function with three arguments, see Method0.
func Method3[A, B, C, R any](f func(context.Context, A, B, C) (R, error)) Method {
	return func(ctx context.Context, call *Call) (any, error) {
		var a A
		var b B
		var c C
		if err := call.arguments(&a, &b, &c); err != nil {
			return nil, err
		}
		return f(ctx, a, b, c)
	}
}

// Proc0 to Proc3 make Methods of functions without a result, of which the
// caller gets undefined; see Method0 for the arguments.
func Proc0(f func(context.Context) error) Method {
	return Method0(func(ctx context.Context) (Undefined, error) { return Undefined{}, f(ctx) })
}

// Proc1 makes a Method of a function with one argument and no result.
func Proc1[A any](f func(context.Context, A) error) Method {
	return Method1(func(ctx context.Context, a A) (Undefined, error) { return Undefined{}, f(ctx, a) })
}

// Proc2 makes a Method of a function with two arguments and no result.
func Proc2[A, B any](f func(context.Context, A, B) error) Method {
	return Method2(func(ctx context.Context, a A, b B) (Undefined, error) { return Undefined{}, f(ctx, a, b) })
}

// Proc3 makes a Method of a function with three arguments and no result.
func Proc3[A, B, C any](f func(context.Context, A, B, C) error) Method {
	return Method3(func(ctx context.Context, a A, b B, c C) (Undefined, error) { return Undefined{}, f(ctx, a, b, c) })
}

// arguments decodes the first arguments, one into each destination.
func (c *Call) arguments(dst ...any) error {
	for i, d := range dst {
		if err := c.Decode(i, d); err != nil {
			return err
		}
		if stub, ok := d.(**Stub); ok && *stub == nil {
			_, err := c.Stub(i)
			return err
		}
	}
	return nil
}
