package node

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
)

// checkedFile is a small file with a checksum: a byte that the disk has
// changed must not pass for another key or another site.
type checkedFile struct {
	Sum  string          `json:"sum"` // CRC-32C of Data, in hex
	Data json.RawMessage `json:"data"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sumOf(data []byte) string { return fmt.Sprintf("%08x", crc32.Checksum(data, castagnoli)) }

func checked(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return json.Marshal(checkedFile{sumOf(data), data})
}

func openChecked(file []byte, into any) error {
	var f checkedFile
	if err := json.Unmarshal(file, &f); err != nil {
		return err
	}
	if sum := sumOf(f.Data); sum != f.Sum {
		return fmt.Errorf("its checksum is %s, not %s", sum, f.Sum)
	}
	return json.Unmarshal(f.Data, into)
}
