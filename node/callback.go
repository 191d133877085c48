package node

import "github.com/catalyst/orchestrator/transport"

// callback is what a peer wants to be told through: an object, or, from
// programs that do not make one, a record of functions.
type callback struct {
	object    *transport.Stub
	functions map[string]*transport.Stub
}

func callbackOf(v any) (callback, error) {
	switch v := v.(type) {
	case *transport.Stub:
		return callback{object: v}, nil
	case map[string]any:
		functions := map[string]*transport.Stub{}
		for name, f := range v {
			if stub, ok := f.(*transport.Stub); ok {
				functions[name] = stub
			}
		}
		if functions["update"] != nil {
			return callback{functions: functions}, nil
		}
	}
	return callback{}, typeError("open wants a callback as its first argument: an object with a method update, passed by reference")
}

// keep returns the callback as it may be kept beyond the call that brought it.
func (b callback) keep() callback {
	if b.object != nil {
		return callback{object: b.object.Dup()}
	}
	kept := callback{functions: map[string]*transport.Stub{}}
	for name, f := range b.functions {
		kept.functions[name] = f.Dup()
	}
	return kept
}

func (b callback) release() {
	if b.object != nil {
		b.object.Release()
	}
	for _, f := range b.functions {
		f.Release()
	}
}

// Call calls a method of the object, or the function of that name. A record
// without it answers as an object without the method would.
func (b callback) Call(method string, args ...any) *transport.Promise {
	if b.object != nil {
		return b.object.Call(method, args...)
	}
	if f := b.functions[method]; f != nil {
		return f.Call("", args...)
	}
	return b.functions["update"].Call(method, args...)
}
