package transport

import (
	"fmt"
	"net/http"
)

// Undefined is JavaScript's undefined, which is not null.
type Undefined struct{}

// Bytes is a byte container other than Uint8Array (which is a plain []byte):
// Kind names the JavaScript type, such as "ArrayBuffer" or "Float64Array".
// Elements of more than one byte are little-endian.
type Bytes struct {
	Kind string
	Data []byte
}

// containers gives the element size in bytes of each container of the protocol.
var containers = map[string]int{
	"ArrayBuffer": 1, "DataView": 1, "Int8Array": 1, "Uint8Array": 1, "Uint8ClampedArray": 1,
	"Int16Array": 2, "Uint16Array": 2, "Int32Array": 4, "Uint32Array": 4, "Float32Array": 4,
	"BigInt64Array": 8, "BigUint64Array": 8, "Float64Array": 8,
}

func (b Bytes) validate() error {
	size, ok := containers[b.Kind]
	if !ok {
		return typeErrorf("unknown kind of bytes %.64q", b.Kind)
	}
	if len(b.Data)%size != 0 {
		return typeErrorf("%d bytes are not a whole number of %s elements", len(b.Data), b.Kind)
	}
	return nil
}

// kindOf says what a received value is, in the words of error messages.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case Undefined:
		return "undefined"
	case bool:
		return "a boolean"
	case float64:
		return "a number"
	case string:
		return "a string"
	case []any:
		return "an array"
	case map[string]any:
		return "an object"
	case *Stub, *Target:
		return "a stub"
	case *Promise:
		return "a promise"
	case error:
		return "an error"
	case *Readable, *Writable:
		return "a stream"
	case Blob:
		return "a blob"
	case URL:
		return "a URL"
	case http.Header:
		return "headers"
	case *Request:
		return "a request"
	case *Response:
		return "a response"
	}
	switch fmt.Sprintf("%T", v) {
	case "time.Time":
		return "a date"
	case "*big.Int":
		return "a bigint"
	case "[]uint8", "transport.Bytes":
		return "bytes"
	}
	return fmt.Sprintf("a %T", v)
}
