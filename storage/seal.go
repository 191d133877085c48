package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"github.com/hashicorp/raft"
)

// Everything in raft.db carries a CRC-32C of its own: bbolt has none for
// data, and gives back what a bad sector made of it.
//
// A log record has it in raft.Log.Extensions, before what the caller may have
// there; a stable value before the value:
//
//	version (1 byte) | CRC-32C (4, big endian) | the caller's bytes
const (
	sealVersion = 1
	sealLength  = 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errUnsealed = errors.New("it carries no checksum: it was written by an older version of catalyst, or is damaged")
	errChecksum = errors.New("its checksum is wrong")
)

// sealLog returns a copy of a record with its checksum. The caller's record
// stays as it is: Raft sends it to others and keeps it in its cache.
func sealLog(log *raft.Log) raft.Log {
	sealed := *log
	sealed.Extensions = seal(sumOfLog(log, log.Extensions), log.Extensions)
	return sealed
}

// openLog verifies the record that was read at an index, and takes the
// checksum off it.
func openLog(index uint64, log *raft.Log) error {
	sum, extensions, err := unseal(log.Extensions)
	if err != nil {
		return err
	}
	if log.Index != index {
		return fmt.Errorf("it is record %d", log.Index)
	}
	if sum != sumOfLog(log, extensions) {
		return errChecksum
	}
	log.Extensions = extensions
	return nil
}

// sumOfLog covers every field. Of the time it covers the instant, which is
// what its encoding keeps.
func sumOfLog(log *raft.Log, extensions []byte) uint32 {
	var head [8 + 8 + 1 + 8 + 4 + 8]byte
	binary.BigEndian.PutUint64(head[0:], log.Index)
	binary.BigEndian.PutUint64(head[8:], log.Term)
	head[16] = byte(log.Type)
	binary.BigEndian.PutUint64(head[17:], uint64(log.AppendedAt.Unix()))
	binary.BigEndian.PutUint32(head[25:], uint32(log.AppendedAt.Nanosecond()))
	// The length of the data marks where the extensions begin.
	binary.BigEndian.PutUint64(head[29:], uint64(len(log.Data)))
	sum := crc32.Update(0, castagnoli, head[:])
	sum = crc32.Update(sum, castagnoli, log.Data)
	return crc32.Update(sum, castagnoli, extensions)
}

func sealValue(key, value []byte) []byte { return seal(sumOfValue(key, value), value) }

func openValue(key, sealed []byte) ([]byte, error) {
	sum, value, err := unseal(sealed)
	if err != nil {
		return nil, err
	}
	if sum != sumOfValue(key, value) {
		return nil, errChecksum
	}
	return value, nil
}

// sumOfValue covers the key too: values must not change places.
func sumOfValue(key, value []byte) uint32 {
	var length [4]byte
	binary.BigEndian.PutUint32(length[:], uint32(len(key)))
	sum := crc32.Update(0, castagnoli, length[:])
	sum = crc32.Update(sum, castagnoli, key)
	return crc32.Update(sum, castagnoli, value)
}

func seal(sum uint32, rest []byte) []byte {
	sealed := make([]byte, sealLength, sealLength+len(rest))
	sealed[0] = sealVersion
	binary.BigEndian.PutUint32(sealed[1:], sum)
	return append(sealed, rest...)
}

// unseal returns nil for an empty rest, which is what a record without
// extensions had.
func unseal(sealed []byte) (sum uint32, rest []byte, err error) {
	if len(sealed) < sealLength || sealed[0] != sealVersion {
		return 0, nil, errUnsealed
	}
	if len(sealed) > sealLength {
		rest = sealed[sealLength:]
	}
	return binary.BigEndian.Uint32(sealed[1:]), rest, nil
}

// digest is one checksum over all stable values as they lie in the file.
func digest(values map[string][]byte) uint32 {
	var sum uint32
	for _, key := range slices.Sorted(maps.Keys(values)) {
		var value [4]byte
		binary.BigEndian.PutUint32(value[:], sumOfValue([]byte(key), values[key]))
		sum = crc32.Update(sum, castagnoli, value[:])
	}
	return sum
}
