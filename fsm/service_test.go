package fsm

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestAServiceIsStoredUnderItsNormalName(t *testing.T) {
	for given, want := range map[Protocol]Protocol{
		"http:gql": HTTPGraphQL, "tcp:gql": TCPGraphQL, "http:graphql": HTTPGraphQL, "tcp": TCP, "udp": UDP, "http": HTTP, "http:grpc": HTTPGRPC,
	} {
		v := service("books")
		v.Protocol, v.Tags = given, map[string]string{}
		got, err := v.Validate()
		if err != nil || got.Protocol != want || got.Tags != nil {
			t.Errorf("%s: got %+v, %v", given, got, err)
		}
		if id := "books:" + string(want); got.ID() != id || v.ID() != id || NormalID("books:"+string(given)) != id {
			t.Errorf("%s: ids %s, %s and %s", given, got.ID(), v.ID(), NormalID("books:"+string(given)))
		}
	}
}

func TestWhatIsWrongWithAServiceIsSaid(t *testing.T) {
	const names = `; use 1 to 253 of letters, digits, ".", "_", "-", starting with a letter or digit`
	const urls = "; give an absolute URL with a scheme and a host, like http://books:8080/graphql"
	with := func(change func(*Service)) Service {
		v := service("books")
		change(&v)
		return v
	}
	name := func(s string) Service { return with(func(v *Service) { v.Name = s }) }
	endpoint := func(s string) Service { return with(func(v *Service) { v.Endpoint = s }) }
	tags := func(key, value string) Service {
		return with(func(v *Service) { v.Tags = map[string]string{key: value} })
	}
	many := with(func(v *Service) {
		v.Tags = map[string]string{}
		for i := range MaxTags + 1 {
			v.Tags[fmt.Sprint(i)] = ""
		}
	})
	for _, c := range []struct {
		service Service
		want    string
	}{
		{name(""), `name: is empty` + names},
		{name("my books"), `name: "my books" has a space` + names},
		{name("-books"), `name: "-books" starts with "-"` + names},
		{name("books/v1"), `name: "books/v1" has a "/"` + names},
		{name("bücher"), `name: "bücher" has a "ü"` + names},
		{name("books\n"), `name: "books\n" has a control character` + names},
		{name("b\xff"), `name: "b\xff" has a byte that is not UTF-8` + names},
		{name(strings.Repeat("x", 254)), `name: "` + strings.Repeat("x", 80) + `"… has 254 characters` + names},
		{endpoint(""), `endpoint: is empty` + urls},
		{endpoint("books"), `endpoint: "books" is not an absolute URL` + urls},
		{endpoint("books:8080"), `endpoint: "books:8080" is not an absolute URL` + urls},
		{endpoint("/graphql"), `endpoint: "/graphql" is not an absolute URL` + urls},
		{endpoint("1http://books"), `endpoint: "1http://books" is not an absolute URL` + urls},
		{endpoint("http://"), `endpoint: "http://" has no host` + urls},
		{endpoint("http://:8080/"), `endpoint: "http://:8080/" has no host` + urls},
		{endpoint("http://u@/x"), `endpoint: "http://u@/x" has no host` + urls},
		{endpoint("http://books:80a/"), `endpoint: "http://books:80a/" has a port that is not a number from 0 to 65535` + urls},
		{endpoint("http://books:65536"), `endpoint: "http://books:65536" has a port that is not a number from 0 to 65535` + urls},
		{endpoint("http://[::1/"), `endpoint: "http://[::1/" has a "[" without its "]"` + urls},
		{endpoint("http://[::1]x/"), `endpoint: "http://[::1]x/" has something else than a port after "]"` + urls},
		{endpoint("http://[books]/"), `endpoint: "http://[books]/" has brackets around what is not an IPv6 address` + urls},
		{endpoint("http://bo<ks/"), `endpoint: "http://bo<ks/" has a host with a character that no host has` + urls},
		{endpoint("http://books/a b"), `endpoint: "http://books/a b" has a space; write it as %20, or leave it out`},
		{endpoint("http://books/\x00"), `endpoint: "http://books/\x00" has a control character; leave it out`},
		{endpoint("http://books/" + strings.Repeat("x", 2048)), `endpoint: has 2061 bytes; use at most 2048`},
		{with(func(v *Service) { v.Protocol = "smtp" }), `protocol: "smtp" is unknown; use one of tcp, udp, http, http:graphql, http:grpc, tcp:graphql`},
		{with(func(v *Service) { v.Region = strings.Repeat("x", 129) }), `region: has 129 bytes; use at most 128`},
		{many, `tags: has 65 entries; use at most 64`},
		{tags("", "x"), `tags: has an empty key; give every tag a key`},
		{tags("k", "\xff"), `tags: "k": "\xff" is not valid UTF-8; send it as UTF-8`},
		{tags("k\t", ""), `tags: key "k\t": "k\t" has a control character; leave it out`},
		{tags("k", strings.Repeat("x", 1025)), `tags: "k": has 1025 bytes; use at most 1024`},
	} {
		_, err := c.service.Validate()
		var refusal *Refusal
		if !errors.As(err, &refusal) || refusal.Code != Invalid || refusal.Message != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
}

func TestEndpointsThatAreFine(t *testing.T) {
	for _, endpoint := range []string{
		"http://books:8080/graphql", "https://books.example", "ws://10.0.0.1:9", "tcp://[::1]:7000", "udp://[fe80::1%25eth0]:53",
		"grpc+tls://books:", "http://user:pass@books/", "http://bücher.example/ä?q=ö#x", "unix-ish.1://x", "http://books?x", "http://books#x",
	} {
		v := service("books")
		v.Endpoint = endpoint
		if _, err := v.Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestASecretIsNeverShown(t *testing.T) {
	err := PeerConfig{ID: "london", Endpoints: []string{"ws://london"}, Secret: "hush\n"}.Validate()
	if err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("got %v", err)
	}
}
