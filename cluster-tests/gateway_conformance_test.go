package clustertests

import (
	"encoding/json"
	"path/filepath"
	"testing"
)

// compared is what js/differential.mjs prints.
type compared struct {
	Documents, Refused, WithErrors    int
	Queries, Mutations, Subscriptions int
	Count                             int
	Differences                       []json.RawMessage
}

// TestTheGatewayAnswersAsOneSchemaWould: random services and random documents, valid and not, have the answers, errors,
// order of mutations and introspection that graphql-js has for all of it as one schema in one process. What a difference
// prints repeats it: js/differential.mjs --seeds.
func TestTheGatewayAnswersAsOneSchemaWould(t *testing.T) {
	g := &ownGateway{state: filepath.Join(t.TempDir(), "gateway.json")}
	g.start(t)
	got := run(t, nil, "node", filepath.Join(programs.js, "differential.mjs"), "--gateway", g.address, "--seeds", "1-12", "--documents", "70")
	var c compared
	if err := json.Unmarshal([]byte(got.stdout), &c); err != nil {
		t.Fatalf("it printed %q and %q: %v", got.stdout, got.stderr, err)
	}
	if c.Count > 0 {
		t.Errorf("%d differences, as %s", c.Count, asJSON(c.Differences))
	}
	answered := c.Documents - c.Refused
	if answered < 400 || c.Refused < 50 || c.WithErrors < 100 || c.Mutations < 50 || c.Subscriptions < 20 {
		t.Errorf("compared %+v: too little of something to say much", c)
	}
}
