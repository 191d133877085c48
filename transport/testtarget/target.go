package main

import (
	"context"
	"fmt"
	"math"

	"github.com/catalyst/orchestrator/transport"
)

type (
	call    = transport.Call
	methods = map[string]transport.Method
)

// newTestTarget has the methods of the reference's TestTarget.
func newTestTarget() *transport.Target {
	return transport.NewTarget(methods{
		"square":            square,
		"callSquare":        callSquare,
		"callFunction":      callFunction,
		"throwError":        throwError,
		"makeCounter":       makeCounter,
		"incrementCounter":  incrementCounter,
		"generateFibonacci": generateFibonacci,
		"returnNull":        func(context.Context, *call) (any, error) { return nil, nil },
		"returnUndefined":   func(context.Context, *call) (any, error) { return transport.Undefined{}, nil },
		"returnNumber":      func(_ context.Context, c *call) (any, error) { return c.Arg(0), nil },
		"echoBlob":          echoBlob,
	})
}

func echoBlob(_ context.Context, c *call) (any, error) {
	blob, ok := c.Arg(0).(transport.Blob)
	if !ok {
		return nil, &transport.Error{Name: "TypeError", Message: "argument 1: want a Blob"}
	}
	return blob, nil
}

// newCounter counts from i; increment adds its argument, or 1.
func newCounter(i float64) *transport.Target {
	return transport.NewTarget(methods{
		"increment": func(_ context.Context, c *call) (any, error) {
			amount := 1.0
			if err := c.Decode(0, &amount); err != nil {
				return nil, err
			}
			i += amount
			return i, nil
		},
	}).Getter("value", func(context.Context, *call) (any, error) { return i, nil })
}

// square gives NaN, as JavaScript, when there is no argument.
func square(_ context.Context, c *call) (any, error) {
	i := math.NaN()
	err := c.Decode(0, &i)
	return i * i, err
}

func callSquare(_ context.Context, c *call) (any, error) {
	self, err := c.Stub(0)
	if err != nil {
		return nil, err
	}
	return map[string]any{"result": self.Call("square", c.Arg(1))}, nil
}

// callFunction lets other calls run while it waits for the function.
func callFunction(ctx context.Context, c *call) (any, error) {
	f, err := c.Stub(0)
	if err != nil {
		return nil, err
	}
	transport.Concurrent(ctx)
	result, err := f.Call("", c.Arg(1)).Await(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]any{"result": result}, nil
}

func throwError(context.Context, *call) (any, error) {
	return nil, &transport.Error{Name: "RangeError", Message: "test error"}
}

func makeCounter(_ context.Context, c *call) (any, error) {
	i := 0.0
	if err := c.Decode(0, &i); err != nil {
		return nil, err
	}
	return newCounter(i), nil
}

func incrementCounter(_ context.Context, c *call) (any, error) {
	counter, err := c.Stub(0)
	if err != nil {
		return nil, err
	}
	amount := 1.0
	if err := c.Decode(1, &amount); err != nil {
		return nil, err
	}
	return counter.Call("increment", amount), nil
}

// mostNumbers bounds a Fibonacci sequence, whose numbers are infinite long before.
const mostNumbers = 1 << 20

func generateFibonacci(_ context.Context, c *call) (any, error) {
	length := -1.0
	if err := c.Decode(0, &length); err != nil {
		return nil, err
	}
	if !(length >= 0 && length <= mostNumbers) {
		return nil, &transport.Error{Name: "RangeError", Message: fmt.Sprintf("argument 1: want a length from 0 to %d", mostNumbers)}
	}
	sequence := make([]float64, 0, int(length))
	a, b := 0.0, 1.0
	for range int(length) {
		sequence = append(sequence, a)
		a, b = b, a+b
	}
	return sequence, nil
}
