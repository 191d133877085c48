package fsm

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// everyOp is a batch with each operation in full.
func everyOp() []Command {
	full := Service{Name: "books", Endpoint: "http://books:8080/graphql", Protocol: HTTPGraphQL, Region: "eu", Tags: map[string]string{"b": "2", "a": "1", "c": ""}}
	var commands []Command
	for i, op := range []Op{
		Found{Site: "paris", AS: 64512, Epoch: "1700000000-a"},
		Put{Mode: Create, Service: full},
		Put{Mode: Upsert, Service: Service{Name: "dns", Endpoint: "udp://dns:53", Protocol: UDP}},
		Delete{ID: "books:http:graphql"},
		Learn{
			Peer: "london", Epoch: "1700000001-b", Term: 7, Version: 99, EndOfRIB: true, Resumed: true,
			Add: []LearnedRoute{
				{ID: "films:tcp", Service: full, Site: "oslo", Path: []string{"london", "oslo"}, Version: 98},
				{Service: full, Site: "london", Path: []string{"london"}, Version: 99},
			},
			Remove: []LearnedKey{{ID: "old:tcp", Site: "london"}},
		},
		MarkStale{Peer: "london"},
		Withdraw{Peer: "london"},
		Withdraw{Peer: "london", Stale: true},
		PutPeer{Mode: Update, Peer: PeerConfig{ID: "london", Endpoints: []string{"ws://a", "ws://b"}, Secret: "s", RestartTime: 60, MaxRoutes: 5}},
		DeletePeer{ID: "london"},
		HoldBack{ID: "node-3", Held: true},
		OpenPeer{Peer: "london", Epoch: "1700000001-b", Term: 7, Collector: true},
		BindPeer{ID: "london-3000", Peer: "london"},
		Raise{Level: 2},
		SetAuthority{Certificate: []byte("certificate"), Key: []byte("key")},
		SetGossipKeys{Was: 0, Keys: [][]byte{[]byte("0123456789abcdef"), []byte("0123456789abcdef01234567")}},
		PutToken{fullToken()},
		PutToken{Token{ID: "peer-1", Role: RolePeer, Site: "london", Hash: hash("peer")}},
		UseToken{ID: "join-1", For: "node-4 sha256:00ff"},
		RevokeToken{ID: "peer-1", Force: true},
		Admit{ID: "node-4", Instance: "018f-aa.b"},
		Admit{ID: "node-5", Instance: "018f-aa.c"},
		Expel{ID: "node-5"},
		Renew{Epoch: "1700000009-c", ID: "0b9a", Keep: []string{"node-4"}},
		Note{Action: "member/remove", ID: "node-5", Detail: "by force"},
		Found{Site: "paris", AS: 64512, Epoch: "1700000000-a", ID: "2f1c", Level: 2},
	} {
		commands = append(commands, Command{RequestID: fmt.Sprint("request-", i), At: 1_700_000_000_000 + int64(i), By: "admin", Op: op})
	}
	return commands
}

func fullToken() Token {
	return Token{
		ID: "join-1", Role: RoleJoin, Hash: hash("join"), Description: "three more machines",
		CreatedAt: 5, CreatedBy: "nobody", CreatedIndex: 6, ExpiresAt: 1_900_000_000_000, Uses: 3,
	}
}

// hash stands for the SHA-256 of a secret.
func hash(secret string) []byte {
	h := sha256.Sum256([]byte(secret))
	return h[:]
}

func TestABatchReadsBackAsItWas(t *testing.T) {
	want := everyOp()
	got, err := DecodeBatch(EncodeBatch([]byte{}, want))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if prefix := EncodeBatch([]byte("before"), nil); string(prefix[:6]) != "before" {
		t.Errorf("what was there is gone: %q", prefix)
	}
}

func TestTheSameBatchHasTheSameBytes(t *testing.T) {
	want := EncodeBatch(nil, everyOp())
	for range 20 {
		if !bytes.Equal(EncodeBatch(nil, everyOp()), want) {
			t.Fatal("the bytes differ from run to run")
		}
	}
}

// A newer node sends fields, and an operation, that this build has not heard of.
func TestWhatIsNewIsSkipped(t *testing.T) {
	extra := func(b []byte) []byte { return appendText(b, 99, "new") }
	data := []byte{batchVersion}
	data = appendMessage(data, 1, func(b []byte) []byte {
		b = protowire.AppendFixed64(protowire.AppendTag(extra(b), 98, protowire.Fixed64Type), 1)
		return appendMessage(b, commandPut, func(b []byte) []byte {
			return appendMessage(extra(b), 2, func(b []byte) []byte { return extra(service("books").encode(b)) })
		})
	})
	data = extra(data)
	data = appendMessage(data, 1, func(b []byte) []byte { return appendMessage(b, 77, extra) })
	commands, err := DecodeBatch(data)
	if err != nil || len(commands) != 2 {
		t.Fatalf("%d commands, %v", len(commands), err)
	}
	if put, ok := commands[0].Op.(Put); !ok || !put.Service.Equal(service("books")) {
		t.Errorf("got %+v", commands[0].Op)
	}
	table := begin(t).table
	if _, o := table.Apply(commands); o[0].Code != "" || o[1].Code != Invalid {
		t.Errorf("outcomes %+v", o)
	}
}

func TestABatchThatCannotBeReadSaysWhy(t *testing.T) {
	good := EncodeBatch(nil, everyOp())
	many := []byte{batchVersion}
	for range MaxBatch + 1 {
		many = append(many, 1<<3|2, 0)
	}
	for _, c := range []struct {
		data []byte
		want string
	}{
		{nil, "empty"},
		{[]byte{9}, "format 9, this build reads 1"},
		{good[:len(good)-1], fmt.Sprintf("decode command %d of a batch: the data is torn", len(everyOp())-1)},
		{[]byte{batchVersion, 0xff}, "torn"},
		{many, "more than 65536"},
		{[]byte{batchVersion, 1 << 3, 5}, "wire type"},
		{EncodeBatch(nil, []Command{{Op: Put{Mode: 7}}}), "mode 7"},
	} {
		if _, err := DecodeBatch(c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want something about %q", err, c.want)
		}
	}
}

func FuzzDecodeBatch(f *testing.F) {
	f.Add(EncodeBatch(nil, everyOp()))
	f.Add(EncodeBatch(nil, randomChoices(1, 40).batch()))
	f.Add([]byte{batchVersion})
	base, _ := new(Table).Apply([]Command{{Op: Found{Site: "paris", Level: Level}}})
	f.Fuzz(func(t *testing.T, data []byte) {
		commands, err := DecodeBatch(data)
		if err != nil {
			return
		}
		again, err := DecodeBatch(EncodeBatch(nil, commands))
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		// An id that says what the service says is not written: compare by effect.
		one, outcomes := base.Apply(commands)
		two, same := base.Apply(again)
		if !bytes.Equal(snapshotOf(t, one), snapshotOf(t, two)) || !reflect.DeepEqual(outcomes, same) {
			t.Fatal("written and read once more the commands do something else")
		}
		for _, o := range outcomes {
			if o.Code == Internal {
				t.Fatal(o.Message)
			}
		}
	})
}

// A proposer fills entries by Size: what is large must not pass for small.
func TestTheSizeOfACommandIsAboutWhatItTakes(t *testing.T) {
	long := strings.Repeat("x", MaxDetail)
	for _, op := range append([]Op{
		SetAuthority{Certificate: make([]byte, MaxDER), Key: make([]byte, MaxDER)},
		Note{Action: long[:MaxAction], ID: long[:MaxSubject], Detail: long},
		UseToken{ID: long[:MaxWord], For: long},
		Renew{Epoch: "e", ID: "i", Keep: slices.Repeat([]string{long[:MaxWord-2]}, MaxMembers)},
	}, opsOf(everyOp())...) {
		c := Command{Op: op}
		if size, takes := c.Size(), len(EncodeBatch(nil, []Command{c})); takes > 2*size {
			t.Errorf("%T: a size of %d, and it takes %d bytes", op, size, takes)
		}
	}
}

func opsOf(commands []Command) (ops []Op) {
	for _, c := range commands {
		ops = append(ops, c.Op)
	}
	return ops
}
