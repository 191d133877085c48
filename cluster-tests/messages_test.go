package clustertests

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var updateMessages = flag.Bool("update", false, "write what operators are told into testdata/messages")

// says holds what an operator is told against testdata/messages/name.txt. What differs between runs is masked first; more
// replaces what else does, pairs of old and new as strings.NewReplacer takes them.
func says(t testing.TB, name, text string, more ...string) {
	t.Helper()
	got := masked(strings.NewReplacer(more...).Replace(text))
	path := filepath.Join("testdata", "messages", name+".txt")
	if *updateMessages {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: it would hold\n%s\n(go test -run %s -update writes it)", err, got, t.Name())
	}
	if got != string(want) {
		t.Errorf("what an operator is told is not as in %s (go test -run %s -update accepts it)\ngot:\n%s\nwant:\n%s", path, t.Name(), got, want)
	}
}

// masks are what differs between runs, each with what stands for it.
var masks = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`(?m)^(ok|warn) +(latency|disk writes) .*\n(?: {5}.*\n)?`), ""}, // of a doctor: they tell how busy the machine is
	{regexp.MustCompile(`catjoin_[A-Za-z0-9_-]+`), "JOIN_TOKEN"},
	{regexp.MustCompile(`cat_[A-Za-z0-9_-]+`), "TOKEN"},
	{regexp.MustCompile(`sha256:[0-9a-f]{64}`), "FINGERPRINT"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "SITE_ID"},
	{regexp.MustCompile(`\b\d{13}-[A-Z2-7]{10}\b`), "EPOCH"},
	{regexp.MustCompile(`/[^\s"',;:()]*/\d{3}/`), "DIR/"}, // of testing's temporary directories
	{regexp.MustCompile(`\b(127\.0\.0\.1|198\.1[89]\.\d+\.\d+):\d+`), "ADDRESS"},
	{regexp.MustCompile(`\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?( UTC|Z)?`), "TIME"},
	{regexp.MustCompile(`\(devel\)|v?\d+\.\d+\.\d+-[0-9A-Za-z.+-]*[0-9a-f]{12}[0-9A-Za-z.+-]*`), "VERSION"}, // of a build that has no tag
	{regexp.MustCompile(`(\b\d+(\.\d+)?(ns|µs|ms|s|m|h))+\b`), "DURATION"},
	{regexp.MustCompile(`\bentries \d+ to \d+`), "entries N to N"},
	{regexp.MustCompile(`\b(index|entry|entries|record|records|term|transaction|entry than)( +)\d+(\.\.\d+)?\b`), "${1}${2}N"},
	{regexp.MustCompile(`\b(bytes?) \d+`), "$1 N"},
	{regexp.MustCompile(`\bchecksum is [0-9a-f]{8}, not [0-9a-f]{8}\b`), "checksum is SUM, not SUM"},
	{regexp.MustCompile(`\b\d+ pages\b`), "N pages"},
	{regexp.MustCompile(`\b\d+(\.\d+)? (bytes|kB|KiB|MB|MiB)\b`), "SIZE"},
	{regexp.MustCompile(`(\S) {2,}`), "$1  "}, // columns are as wide as their longest cell
}

func masked(text string) string {
	for _, m := range masks {
		text = m.what.ReplaceAllString(text, m.with)
	}
	return text
}
