package pipeline

import "strings"

// named is the one service that a gateway's words are about: by its URL, else
// by its name; nil when they name none or several.
func named(words string, candidates []*service) *service {
	if s, several := onlyOne(words, candidates, func(s *service) string { return s.wire.URL }); s != nil || several {
		return s
	}
	s, _ := onlyOne(words, candidates, func(s *service) string { return s.wire.Name })
	return s
}

func onlyOne(words string, candidates []*service, text func(*service) string) (only *service, several bool) {
	for _, s := range candidates {
		if !mentions(words, text(s)) {
			continue
		}
		if only != nil {
			return nil, true
		}
		only = s
	}
	return only, false
}

// mentions tells whether text stands in words by itself, not as a part of a
// longer name or URL: books is in `books: refused`, not in `books-2` nor in
// `http://books/graphql`.
func mentions(words, text string) bool {
	if text == "" {
		return false
	}
	for from := 0; ; {
		i := strings.Index(words[from:], text)
		if i < 0 {
			return false
		}
		start, end := from+i, from+i+len(text)
		if !runsOn(reversedTail(words[:start])) && !runsOn(words[end:]) {
			return true
		}
		from = start + 1
	}
}

// reversedTail is the two last bytes of s, the last first.
func reversedTail(s string) string {
	switch n := len(s); n {
	case 0:
		return ""
	case 1:
		return s
	default:
		return string([]byte{s[n-1], s[n-2]})
	}
}

// runsOn tells whether what follows belongs to the same name or URL: a letter,
// a digit, or punctuation with more behind it.
func runsOn(s string) bool {
	switch {
	case s == "":
		return false
	case wordByte(s[0]) || s[0] == '/' || s[0] == '@':
		return true
	}
	return strings.IndexByte(".:?#&=%~+", s[0]) >= 0 && len(s) > 1 && (wordByte(s[1]) || s[1] == '/')
}

func wordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c >= 0x80
}
