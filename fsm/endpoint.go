package fsm

import (
	"fmt"
	"strings"
)

// endpointFault says what keeps a text from being an absolute URL with a
// scheme and a host. It is written out here, not left to net/url, because the
// rule must be the same on nodes built with different versions of Go.
func endpointFault(field, endpoint string) string {
	if endpoint == "" {
		return field + ": is empty; " + endpointRule
	}
	if f := textFault(field, endpoint, MaxEndpoint); f != "" {
		return f
	}
	if strings.ContainsRune(endpoint, ' ') {
		return fmt.Sprintf("%s: %s has a space; write it as %%20, or leave it out", field, quote(endpoint))
	}
	scheme, rest, absolute := strings.Cut(endpoint, "://")
	if !absolute || !schemeOK(scheme) {
		return fmt.Sprintf("%s: %s is not an absolute URL; %s", field, quote(endpoint), endpointRule)
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = rest[at+1:]
	}
	if wrong := authorityFault(rest); wrong != "" {
		return fmt.Sprintf("%s: %s %s; %s", field, quote(endpoint), wrong, endpointRule)
	}
	return ""
}

const endpointRule = "give an absolute URL with a scheme and a host, like http://books:8080/graphql"

// schemeOK follows RFC 3986 §3.1: a letter, then letters, digits, "+-.".
func schemeOK(scheme string) bool {
	for i := range len(scheme) {
		c := scheme[i]
		if !alphanumeric(c) && (i == 0 || strings.IndexByte("+-.", c) < 0) || i == 0 && '0' <= c && c <= '9' {
			return false
		}
	}
	return scheme != ""
}

// authorityFault looks at host[:port], where the host may be in brackets.
func authorityFault(authority string) string {
	host, port := authority, ""
	if strings.HasPrefix(authority, "[") {
		end := strings.IndexByte(authority, ']')
		if end < 0 {
			return `has a "[" without its "]"`
		}
		host, port = authority[1:end], authority[end+1:]
		if port != "" && port[0] != ':' {
			return `has something else than a port after "]"`
		}
		if strings.Trim(host, "0123456789abcdefABCDEF:.%") != "" && !strings.Contains(host, "%") {
			return "has brackets around what is not an IPv6 address"
		}
	} else if i := strings.IndexByte(authority, ':'); i >= 0 {
		host, port = authority[:i], authority[i:]
	}
	switch {
	case host == "":
		return "has no host"
	case strings.ContainsAny(host, `"<>\^{|}[]`+"`"):
		return "has a host with a character that no host has"
	case !portOK(port):
		return "has a port that is not a number from 0 to 65535"
	}
	return ""
}

// portOK takes the port with its colon, or nothing.
func portOK(port string) bool {
	if port == "" || port == ":" {
		return true
	}
	n := 0
	for _, c := range []byte(port[1:]) {
		if c < '0' || c > '9' || n > 65535 {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n <= 65535
}
