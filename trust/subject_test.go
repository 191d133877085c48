package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

func TestASubjectIsWhatItsURISays(t *testing.T) {
	for uri, want := range map[string]Subject{
		"catalyst://paris/node/n1":       {"paris", Node, "n1"},
		"catalyst://paris/client/ops":    {"paris", Client, "ops"},
		"catalyst://Eu-1.Example/node/A": {"Eu-1.Example", Node, "A"},
		"catalyst://10.0.0.1/node/a_b-c": {"10.0.0.1", Node, "a_b-c"},
	} {
		c := &x509.Certificate{URIs: []*url.URL{
			must(url.Parse("spiffe://example/ns/x")), must(url.Parse(uri)), // other URIs are no business of ours
		}}
		got, err := SubjectOf(c)
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", uri, got, err, want)
		}
		if got.URI() != uri {
			t.Errorf("%s comes back as %s", uri, got.URI())
		}
	}
	if got, want := n1("paris").String(), "node n1 of site paris"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWhatIsNoSubject(t *testing.T) {
	for _, uri := range []string{
		"catalyst:", "catalyst:paris/node/n1", "catalyst://", "catalyst:///node/n1", "catalyst://paris", "catalyst://paris/",
		"catalyst://paris/node", "catalyst://paris/node/", "catalyst://paris//n1", "catalyst://paris/node/n1/", "catalyst://paris/node/n1/x",
		"catalyst://paris/node/n1?x", "catalyst://paris/node/n1?", "catalyst://paris/node/n1#x", "catalyst://u@paris/node/n1", "catalyst://paris:1/node/n1",
		"catalyst://paris/Node/n1", "catalyst://paris/admin/n1", "catalyst://paris/authority/n1",
		"catalyst://paris/node/n%31", "catalyst://paris/node/..", "catalyst://paris/node/n 1", "catalyst://pa..ris/node/n1", "catalyst://paris./node/n1",
		"catalyst://paris/node/" + strings.Repeat("n", 65), "catalyst://" + strings.Repeat("p", 65) + "/node/n1",
		"spiffe://paris/node/n1", "https://paris/node/n1",
	} {
		u, err := url.Parse(uri)
		if err != nil {
			continue
		}
		if s, err := SubjectOf(&x509.Certificate{URIs: []*url.URL{u}}); err == nil {
			t.Errorf("%s: is %v", uri, s)
		}
	}
}

func TestAPinIsWrittenAsOthersWriteIt(t *testing.T) {
	pin := PinOf([]byte("paris"))
	text := "sha256:" + fmt.Sprintf("%x", sha256.Sum256([]byte("paris")))
	if got := pin.String(); got != text {
		t.Errorf("got %s, want %s", got, text)
	}
	if got := string(must(json.Marshal(pin))); got != `"`+text+`"` {
		t.Errorf("JSON is %s", got)
	}
}
