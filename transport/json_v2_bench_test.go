//go:build goexperiment.jsonv2

package transport

import (
	"bytes"
	"encoding/json/v2"
)

// The experiment also makes encoding/json a layer over this one.
func init() {
	jsonDecoders["encoding/json/v2"] = func(message []byte) error {
		return decodeTree(message, func(data []byte, v any) error { return json.Unmarshal(data, v) })
	}
	jsonEncoders["encoding/json/v2"] = func(to *bytes.Buffer, books any) error {
		return json.MarshalWrite(to, pushTree(books), json.Deterministic(true))
	}
}
