package fsm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTheAuditTellsWhoDidWhat(t *testing.T) {
	s := beginAtLevel2(t)
	s.sends(Command{At: 7, By: "ann", Op: Put{Mode: Upsert, Service: service("books")}})
	s.puts("books") // nothing new
	moved := service("books")
	moved.Region = "eu"
	s.does(Put{Mode: Upsert, Service: moved})
	oslo := PeerConfig{ID: "10-0-0-2", Endpoints: []string{"ws://oslo"}, Secret: "s"}
	s.does(PutPeer{Peer: oslo})
	s.does(BindPeer{ID: "10-0-0-2", Peer: "oslo"})
	oslo.MaxRoutes = 9
	s.does(PutPeer{Mode: Upsert, Peer: oslo})
	s.does(OpenPeer{Peer: "oslo", Epoch: "e", Term: 1})
	s.learns("oslo", "films")
	s.does(MarkStale{Peer: "oslo"})
	s.does(Withdraw{Peer: "oslo"})
	s.does(HoldBack{ID: "n1", Held: true})
	s.does(HoldBack{ID: "n1"})
	s.refuses(NotFound, Delete{ID: "nothing:tcp"})
	s.does(Delete{ID: "books:http:gql"})
	s.does(DeletePeer{ID: "oslo"})
	s.wants("audit", s.audit(), []string{
		"peer/delete 10-0-0-2", "dataChannel/delete books:http:graphql", "member/release n1", "member/hold n1",
		"peer/update 10-0-0-2", "peer/create 10-0-0-2", "dataChannel/update books:http:graphql", "dataChannel/create books:http:graphql",
		"site/found paris",
	})
	all := slices.Collect(s.table.Audit(0))
	if want := (AuditEntry{Index: 2, At: 7, By: "ann", Action: "dataChannel/create", ID: "books:http:graphql"}); all[len(all)-2] != want {
		t.Errorf("got %+v, want %+v", all[len(all)-2], want)
	}
	text, err := json.Marshal(all[len(all)-2])
	if want := `{"index":2,"at":7,"by":"ann","action":"dataChannel/create","id":"books:http:graphql"}`; err != nil || string(text) != want {
		t.Errorf("as JSON %s, %v, want %s", text, err, want)
	}
}

func TestANoteIsBounded(t *testing.T) {
	s := beginAtLevel2(t)
	s.does(Note{Action: "member/remove", ID: "n1", Detail: "by force"})
	s.wants("audit", s.audit()[:1], []string{"member/remove n1 by force"})
	for _, c := range []struct {
		note Note
		want string
	}{
		{Note{ID: "n1"}, "action: is empty"},
		{Note{Action: strings.Repeat("x", 65)}, "action: has 65 bytes; use at most 64"},
		{Note{Action: "a", ID: strings.Repeat("x", 301)}, "id: has 301 bytes"},
		{Note{Action: "a", Detail: strings.Repeat("x", 501)}, "detail: has 501 bytes"},
		{Note{Action: "a", Detail: "\xff"}, "detail: \"\\xff\" is not valid UTF-8"},
	} {
		s.says(Invalid, c.note, c.want)
	}
}

func TestTheAuditKeepsTheNewest(t *testing.T) {
	s := beginAtLevel2(t)
	const more = 700 // beyond one chunk
	commands := make([]Command, MaxAudit+more)
	for i := range commands {
		commands[i] = Command{At: int64(i), By: "ann", Op: Note{Action: "a", ID: fmt.Sprint(i)}}
	}
	s.table, _ = s.table.Apply(commands)
	all := slices.Collect(s.table.Audit(0))
	if len(all) != MaxAudit || s.table.NumAudit() != MaxAudit {
		t.Fatalf("%d entries, counted %d, want %d", len(all), s.table.NumAudit(), MaxAudit)
	}
	if first, last := all[MaxAudit-1].ID, all[0].ID; first != fmt.Sprint(more) || last != fmt.Sprint(len(commands)-1) {
		t.Errorf("entries %s to %s", first, last)
	}

	// Page by page it is the same.
	var paged []AuditEntry
	for before := uint64(0); ; before = paged[len(paged)-1].Index {
		size := len(paged)
		for entry := range s.table.Audit(before) {
			if paged = append(paged, entry); len(paged) == size+1000 {
				break
			}
		}
		if len(paged) == size {
			break
		}
	}
	if !slices.Equal(paged, all) {
		t.Errorf("page by page %d entries, or others", len(paged))
	}
	back := restored(t, snapshotOf(t, s.table))
	if !slices.Equal(slices.Collect(back.Audit(0)), all) {
		t.Error("a restored table has another audit")
	}
}

// Between two entries of the audit lie versions that have none.
func TestTheAuditBeforeAVersionWithoutAnEntry(t *testing.T) {
	s := beginAtLevel2(t)
	s.puts("a")
	s.learns("oslo", "x", "y", "z")
	s.puts("b")
	for before, want := range map[uint64]int{1: 0, 2: 1, 3: 2, 5: 2, 6: 2, 7: 3, 99: 3} {
		if got := len(slices.Collect(s.table.Audit(before))); got != want {
			t.Errorf("before %d: %d entries, want %d", before, got, want)
		}
	}
}

// Whatever name a leader was given, the table keeps a text of bounded length.
func TestWhoDidItIsBoundedText(t *testing.T) {
	s := beginAtLevel2(t)
	long := strings.Repeat("é", MaxName)
	for _, by := range []string{long, "torn \xff", "ann", "ann"} {
		s.sends(Command{By: by, Op: Note{Action: "a"}})
	}
	var got []string
	for entry := range s.table.Audit(0) {
		if got = append(got, entry.By); !utf8.ValidString(entry.By) {
			t.Errorf("by %q", entry.By)
		}
	}
	s.wants("by", got[:4], []string{"ann", "ann", "torn ", long[:MaxName-1]})
	if data := snapshotOf(t, s.table); !bytes.Equal(snapshotOf(t, restored(t, data)), data) {
		t.Error("the snapshot differs")
	}
}

// The audit has one entry for each command that changed something, and it
// names the version that the command led to.
func TestEveryChangeButThePeersIsAudited(t *testing.T) {
	c := randomChoices(11, 20_000)
	table, _ := new(Table).Apply([]Command{{Op: Found{Site: "paris", Epoch: "e", Level: Level}}})
	for c.more() {
		command := c.command()
		next, outcomes := table.Apply([]Command{command})
		got := slices.Collect(next.Audit(0))[:next.NumAudit()-table.NumAudit()]
		want := outcomes[0].Changed && next.Version() != table.Version() && outcomes[0].Index == next.Version()
		switch command.Op.(type) {
		case Learn, MarkStale, Withdraw, OpenPeer, BindPeer:
			want = false
		}
		if want != (len(got) == 1) || want && got[0].Index != outcomes[0].Index {
			t.Fatalf("%+v led to %+v and the entries %+v", command, outcomes[0], got)
		}
		table = next
	}
	if table.NumAudit() < 100 {
		t.Errorf("only %d entries", table.NumAudit())
	}
}
