package fsm

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of what a client may register, in bytes unless said otherwise.
const (
	MaxName     = 253
	MaxEndpoint = 2048
	MaxRegion   = 128
	MaxTags     = 64 // entries
	MaxTagKey   = 128
	MaxTagValue = 1024
)

// Protocol is how a service is spoken to.
type Protocol string

const (
	TCP         Protocol = "tcp"
	UDP         Protocol = "udp"
	HTTP        Protocol = "http"
	HTTPGraphQL Protocol = "http:graphql"
	HTTPGRPC    Protocol = "http:grpc"
	TCPGraphQL  Protocol = "tcp:graphql"
)

// Protocols lists what Validate accepts, aliases aside.
func Protocols() []Protocol {
	return []Protocol{TCP, UDP, HTTP, HTTPGraphQL, HTTPGRPC, TCPGraphQL}
}

// GraphQL tells whether services of this protocol go through the gateway.
func (p Protocol) GraphQL() bool { return p == HTTPGraphQL || p == TCPGraphQL }

// normal replaces the alias gql, the older spelling, by graphql.
func (p Protocol) normal() Protocol {
	switch p {
	case "http:gql":
		return HTTPGraphQL
	case "tcp:gql":
		return TCPGraphQL
	}
	return p
}

// Service is what a client registers: the DataChannel of the RPC contract.
type Service struct {
	Name     string            `json:"name"`
	Endpoint string            `json:"endpoint"`
	Protocol Protocol          `json:"protocol"`
	Region   string            `json:"region,omitempty"`
	Tags     map[string]string `json:"tags,omitempty"`
}

// ID identifies the service within its site: books:http:graphql.
func (s Service) ID() string { return s.Name + ":" + string(s.Protocol.normal()) }

// NormalID spells an id as the table stores it: books:http:gql becomes
// books:http:graphql. Whether such a route exists is another question.
func NormalID(id string) string {
	name, protocol, _ := strings.Cut(id, ":")
	if p := Protocol(protocol); p != p.normal() {
		return name + ":" + string(p.normal())
	}
	return id
}

// Equal tells whether two services are the same definition.
func (s Service) Equal(o Service) bool {
	return s.Name == o.Name && s.Endpoint == o.Endpoint && s.Protocol == o.Protocol &&
		s.Region == o.Region && maps.Equal(s.Tags, o.Tags)
}

// Validate returns the service as the table stores it, or a *Refusal that
// names the first wrong field and the way out. Its rules are part of the
// replicated state machine: a node that judges otherwise than its peers would
// hold another table, so they use nothing that differs between builds.
func (s Service) Validate() (Service, error) {
	s.Protocol = s.Protocol.normal()
	if len(s.Tags) == 0 {
		s.Tags = nil
	}
	if fault := s.fault(); fault != "" {
		return s, invalid(fault)
	}
	return s, nil
}

// fault is what is wrong with the service, or empty.
func (s Service) fault() string {
	if f := nameFault("name", s.Name); f != "" {
		return f
	}
	if f := endpointFault("endpoint", s.Endpoint); f != "" {
		return f
	}
	if !slices.Contains(Protocols(), s.Protocol) {
		return fmt.Sprintf("protocol: %s is unknown; use one of tcp, udp, http, http:graphql, http:grpc, tcp:graphql", quote(string(s.Protocol)))
	}
	if f := textFault("region", s.Region, MaxRegion); f != "" {
		return f
	}
	return tagsFault(s.Tags)
}

const nameRule = `use 1 to 253 of letters, digits, ".", "_", "-", starting with a letter or digit`

// nameFault says what keeps a text from being a name of a service, site or
// peer.
func nameFault(field, name string) string {
	wrong := ""
	switch {
	case name == "":
		return field + ": is empty; " + nameRule
	case len(name) > MaxName:
		wrong = fmt.Sprintf("has %d characters", len(name))
	case !alphanumeric(name[0]) && strings.IndexByte("._-", name[0]) >= 0:
		wrong = "starts with " + quote(name[:1])
	default:
		i := strings.IndexFunc(name, notOfNames)
		if i < 0 {
			return ""
		}
		wrong = "has " + describe(name[i:])
	}
	return fmt.Sprintf("%s: %s %s; %s", field, quote(name), wrong, nameRule)
}

func notOfNames(r rune) bool {
	return r >= utf8.RuneSelf || !alphanumeric(byte(r)) && r != '.' && r != '_' && r != '-'
}

// MaxWord is how long a word may be: an id that a program makes up.
const MaxWord = 64

// wordFault says what keeps a text from being a word.
func wordFault(field, word string) string {
	const rule = `use 1 to 64 of letters, digits, ".", "_", "-"`
	switch i := strings.IndexFunc(word, notOfNames); {
	case word == "":
		return field + ": is empty; " + rule
	case len(word) > MaxWord:
		return fmt.Sprintf("%s: has %d characters; %s", field, len(word), rule)
	case i >= 0:
		return fmt.Sprintf("%s: %s has %s; %s", field, quote(word), describe(word[i:]), rule)
	}
	return ""
}

// IsName tells whether a text can name a service, a site or a peer.
func IsName(text string) bool { return nameFault("", text) == "" }

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// describe names the first character of a text.
func describe(s string) string {
	r, _ := utf8.DecodeRuneInString(s)
	switch {
	case r == ' ':
		return "a space"
	case r == utf8.RuneError:
		return "a byte that is not UTF-8"
	case r < ' ' || r == 0x7f:
		return "a control character"
	}
	return "a " + quote(string(r))
}

// quote shows a client's text in a message, the start of it if it is long.
func quote(s string) string {
	const shown = 80
	if len(s) > shown {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(s[:shown], ""))
	}
	return fmt.Sprintf("%q", s)
}

// textFault is for free text that people read: any UTF-8 but control
// characters.
func textFault(field, text string, most int) string {
	switch {
	case len(text) > most:
		return fmt.Sprintf("%s: has %d bytes; use at most %d", field, len(text), most)
	case !utf8.ValidString(text):
		return fmt.Sprintf("%s: %s is not valid UTF-8; send it as UTF-8", field, quote(text))
	case strings.IndexFunc(text, control) >= 0:
		return fmt.Sprintf("%s: %s has a control character; leave it out", field, quote(text))
	}
	return ""
}

func control(r rune) bool { return r < ' ' || 0x7f <= r && r < 0xa0 }

// tagsFault looks at the keys in order, so that every node names the same one.
func tagsFault(tags map[string]string) string {
	if len(tags) == 0 {
		return ""
	}
	if len(tags) > MaxTags {
		return fmt.Sprintf("tags: has %d entries; use at most %d", len(tags), MaxTags)
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if key == "" {
			return "tags: has an empty key; give every tag a key"
		}
		if f := textFault("tags: key "+quote(key), key, MaxTagKey); f != "" {
			return f
		}
		if f := textFault("tags: "+quote(key), tags[key], MaxTagValue); f != "" {
			return f
		}
	}
	return ""
}
