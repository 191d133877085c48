package trust

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"
)

// Role is what a certificate's subject may be to a site.
type Role string

const (
	Node   Role = "node"   // speaks Raft, answers clients, carries calls of other nodes
	Client Role = "client" // calls
)

// The authority's own certificate carries its site in the same way.
const authority Role = "authority"

const scheme = "catalyst"

// Subject is whom a certificate speaks for.
type Subject struct {
	Site string
	Role Role
	Name string // of a node its ID
}

// URI is how a certificate carries the subject: catalyst://SITE/ROLE/NAME.
func (s Subject) URI() string { return s.url().String() }

func (s Subject) String() string { return fmt.Sprintf("%s %s of site %s", s.Role, s.Name, s.Site) }

func (s Subject) url() *url.URL {
	return &url.URL{Scheme: scheme, Host: s.Site, Path: "/" + string(s.Role) + "/" + s.Name}
}

// fault says what is wrong with the subject, or nothing.
func (s Subject) fault() string {
	if fault := siteFault(s.Site); fault != "" {
		return fault
	}
	return nameFault(string(s.Role), s.Name)
}

// SubjectOf returns whom a certificate speaks for. It does not verify it.
func SubjectOf(certificate *x509.Certificate) (Subject, error) {
	s, err := carried(certificate)
	if err == nil && s.Role != Node && s.Role != Client {
		err = fmt.Errorf("%s: %q is no role: node and client are", s.URI(), s.Role)
	}
	if err != nil {
		return Subject{}, err
	}
	return s, nil
}

// carried returns the subject of any role that stands in the only URI of ours.
func carried(certificate *x509.Certificate) (Subject, error) {
	var found *url.URL
	for _, u := range certificate.URIs {
		switch {
		case u.Scheme != scheme:
		case found != nil:
			return Subject{}, fmt.Errorf("it speaks for two subjects, %s and %s: it may carry one %s:// URI", short(found.String()), short(u.String()), scheme)
		default:
			found = u
		}
	}
	if found == nil {
		return Subject{}, fmt.Errorf("it names no subject: it must carry a URI such as %s among its alternative names", Subject{"SITE", Node, "ID"}.URI())
	}
	return parseURI(found)
}

func parseURI(u *url.URL) (Subject, error) {
	var s Subject
	parts := strings.Split(u.Path, "/")
	if len(parts) == 3 {
		s = Subject{Site: u.Host, Role: Role(parts[1]), Name: parts[2]}
	}
	// One subject has one spelling: no port, no query, no escapes.
	if u.String() != s.URI() || s.Role == "" {
		return Subject{}, fmt.Errorf("its URI %s is not of the form %s://SITE/ROLE/NAME", short(u.String()), scheme)
	}
	if fault := nameFault("role", string(s.Role)) + s.fault(); fault != "" {
		return Subject{}, fmt.Errorf("its URI %s: %s", short(u.String()), fault)
	}
	return s, nil
}

const nameRule = "1 to 64 of [A-Za-z0-9._-] are allowed, a letter or digit first"

func nameFault(field, name string) string {
	if name == "" {
		return field + ": is empty; " + nameRule
	}
	good := func(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
	ok := len(name) <= 64 && good(name[0])
	for i := range len(name) {
		ok = ok && (good(name[i]) || strings.IndexByte("._-", name[i]) >= 0)
	}
	if !ok {
		return fmt.Sprintf("%s: %s is not a name; %s", field, short(name), nameRule)
	}
	return ""
}

// siteFault knows one thing more: x509 takes a URI's host for a domain, and a
// certificate with an empty label in it would be unreadable.
func siteFault(site string) string {
	if fault := nameFault("site", site); fault != "" {
		return fault
	}
	if strings.Contains(site+".", "..") {
		return fmt.Sprintf("site: %q cannot stand in a certificate; a dot must be followed by another character than a dot", site)
	}
	return ""
}

// short quotes what a stranger may have written.
func short(text string) string {
	if len(text) > 100 {
		text = text[:100] + "…"
	}
	return fmt.Sprintf("%q", text)
}
