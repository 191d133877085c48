package fsm

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// MaxBatch is the most commands of one batch, and the most routes of one
// Learn, in each of its lists.
const MaxBatch = 1 << 16

// batchVersion leads every log entry. It changes only when an old reader must
// not try: what it can skip is a new field.
const batchVersion = 1

// Fields of a command. An operation has its own field, so that a reader which
// does not know it skips it and finds none.
const (
	commandRequestID  = 1
	commandAt         = 2
	commandBy         = 3
	commandFound      = 10
	commandPut        = 11
	commandDelete     = 12
	commandLearn      = 13
	commandMarkStale  = 14
	commandWithdraw   = 15
	commandPutPeer    = 16
	commandDeletePeer = 17
	commandHoldBack   = 18
	commandOpenPeer   = 19
	commandBindPeer   = 20

	commandRaise         = 21
	commandSetAuthority  = 22
	commandSetGossipKeys = 23
	commandPutToken      = 24
	commandRevokeToken   = 25
	commandUseToken      = 26
	commandAdmit         = 27
	commandExpel         = 28
	commandRenew         = 29
	commandNote          = 30 // the last: decodeOp looks no further
)

// EncodeBatch appends the commands to dst as one log entry. At most MaxBatch
// of them can be read back.
func EncodeBatch(dst []byte, commands []Command) []byte {
	dst = append(dst, batchVersion)
	for i := range commands {
		dst = appendMessage(dst, 1, commands[i].encode)
	}
	return dst
}

// DecodeBatch reads a log entry. It takes anything: what it allocates is in
// proportion to the data, and unknown fields are skipped.
func DecodeBatch(data []byte) ([]Command, error) {
	if len(data) == 0 {
		return nil, fmt.Errorf("decode a batch of commands: it is empty")
	}
	if data[0] != batchVersion {
		return nil, fmt.Errorf("decode a batch of commands: it has format %d, this build reads %d; upgrade this node", data[0], batchVersion)
	}
	s := scan(data[1:])
	commands := make([]Command, 0, min(len(data)/64+1, MaxBatch))
	for s.next() {
		if s.field != 1 {
			continue
		}
		if len(commands) == MaxBatch {
			return nil, fmt.Errorf("decode a batch of commands: it has more than %d", MaxBatch)
		}
		inner := s.message()
		commands = append(commands, decodeCommand(&inner))
		s.absorb(&inner)
	}
	if s.err != nil {
		return nil, fmt.Errorf("decode command %d of a batch: %w", len(commands), s.err)
	}
	return commands, nil
}

func (c *Command) encode(b []byte) []byte {
	b = appendText(b, commandRequestID, c.RequestID)
	b = appendUint(b, commandAt, uint64(c.At))
	b = appendText(b, commandBy, c.By)
	if field := fieldOf(c.Op); field != 0 {
		b = appendMessage(b, field, c.Op.encode)
	}
	return b
}

// fieldOf is 0 for what cannot be written: nothing, or a test's own.
func fieldOf(op Op) protowire.Number {
	switch op.(type) {
	case Found:
		return commandFound
	case Put:
		return commandPut
	case Delete:
		return commandDelete
	case Learn:
		return commandLearn
	case MarkStale:
		return commandMarkStale
	case Withdraw:
		return commandWithdraw
	case PutPeer:
		return commandPutPeer
	case DeletePeer:
		return commandDeletePeer
	case HoldBack:
		return commandHoldBack
	case OpenPeer:
		return commandOpenPeer
	case BindPeer:
		return commandBindPeer
	case Raise:
		return commandRaise
	case SetAuthority:
		return commandSetAuthority
	case SetGossipKeys:
		return commandSetGossipKeys
	case PutToken:
		return commandPutToken
	case RevokeToken:
		return commandRevokeToken
	case UseToken:
		return commandUseToken
	case Admit:
		return commandAdmit
	case Expel:
		return commandExpel
	case Renew:
		return commandRenew
	case Note:
		return commandNote
	}
	return 0
}

func decodeCommand(s *scanner) (c Command) {
	for s.next() {
		switch s.field {
		case commandRequestID:
			c.RequestID = s.text()
		case commandAt:
			c.At = int64(s.uint())
		case commandBy:
			c.By = s.text()
		default:
			if op := decodeOp(s); op != nil {
				c.Op = op
			}
		}
	}
	return c
}

// decodeOp is nil for a field that is no operation known here.
func decodeOp(s *scanner) (op Op) {
	if s.field < commandFound || s.field > commandNote {
		return nil
	}
	inner := s.message()
	switch s.field {
	case commandFound:
		op = decodeFound(&inner)
	case commandPut:
		op = decodePut(&inner)
	case commandDelete:
		op = Delete{ID: decodeText(&inner)}
	case commandLearn:
		op = decodeLearn(&inner)
	case commandMarkStale:
		op = MarkStale{Peer: decodeText(&inner)}
	case commandWithdraw:
		op = decodeWithdraw(&inner)
	case commandPutPeer:
		op = decodePutPeer(&inner)
	case commandDeletePeer:
		op = DeletePeer{ID: decodeText(&inner)}
	case commandHoldBack:
		op = decodeHoldBack(&inner)
	case commandOpenPeer:
		op = decodeOpenPeer(&inner)
	case commandBindPeer:
		op = decodeBindPeer(&inner)
	case commandRaise:
		op = decodeRaise(&inner)
	case commandSetAuthority:
		op = decodeSetAuthority(&inner)
	case commandSetGossipKeys:
		op = decodeSetGossipKeys(&inner)
	case commandPutToken:
		op = decodePutToken(&inner)
	case commandRevokeToken:
		op = decodeRevokeToken(&inner)
	case commandUseToken:
		op = decodeUseToken(&inner)
	case commandAdmit:
		op = decodeAdmit(&inner)
	case commandExpel:
		op = Expel{ID: decodeText(&inner)}
	case commandRenew:
		op = decodeRenew(&inner)
	case commandNote:
		op = decodeNote(&inner)
	}
	s.absorb(&inner)
	return op
}

// decodeText reads a message that is one text.
func decodeText(s *scanner) (text string) {
	for s.next() {
		if s.field == 1 {
			text = s.text()
		}
	}
	return text
}

func (d Delete) encode(b []byte) []byte { return appendText(b, 1, d.ID) }

func (p Put) encode(b []byte) []byte {
	b = appendUint(b, 1, uint64(p.Mode))
	return appendMessage(b, 2, p.Service.encode)
}

func decodePut(s *scanner) (p Put) {
	for s.next() {
		switch s.field {
		case 1:
			p.Mode = decodeMode(s)
		case 2:
			p.Service = decodeService(s)
		}
	}
	return p
}

// decodeMode refuses what Mode cannot say: to take it for another mode would
// do something else than was meant.
func decodeMode(s *scanner) Mode {
	v := s.uint()
	if v > uint64(Upsert) {
		s.fail(fmt.Errorf("mode %d is unknown", v))
		return 0
	}
	return Mode(v)
}

func (v Service) encode(b []byte) []byte {
	b = appendText(b, 1, v.Name)
	b = appendText(b, 2, v.Endpoint)
	b = appendText(b, 3, string(v.Protocol))
	b = appendText(b, 4, v.Region)
	if len(v.Tags) == 0 {
		return b
	}
	for _, key := range slices.Sorted(maps.Keys(v.Tags)) {
		b = appendMessage(b, 5, func(b []byte) []byte {
			return appendText(appendText(b, 1, key), 2, v.Tags[key])
		})
	}
	return b
}

func decodeService(s *scanner) (v Service) {
	inner := s.message()
	for inner.next() {
		switch inner.field {
		case 1:
			v.Name = inner.text()
		case 2:
			v.Endpoint = inner.text()
		case 3:
			v.Protocol = Protocol(inner.text())
		case 4:
			v.Region = inner.text()
		case 5:
			if v.Tags == nil {
				v.Tags = make(map[string]string)
			}
			key, value := decodeTag(&inner)
			v.Tags[key] = value
		}
	}
	s.absorb(&inner)
	return v
}

func decodeTag(s *scanner) (key, value string) {
	inner := s.message()
	for inner.next() {
		switch inner.field {
		case 1:
			key = inner.text()
		case 2:
			value = inner.text()
		}
	}
	s.absorb(&inner)
	return key, value
}
