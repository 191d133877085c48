package transport

// keyCache keeps short strings that come again and again. One goroutine uses it.
type keyCache [256]cachedKey

// cachedKey is a string, and the property path that consists of it.
type cachedKey struct {
	text string
	path []any
}

func (k *keyCache) get(raw []byte) cachedKey {
	if k == nil || len(raw) == 0 || len(raw) > 32 {
		text := string(raw)
		return cachedKey{text, []any{text}}
	}
	hash := uint32(len(raw))
	for _, c := range raw {
		hash = hash*31 + uint32(c)
	}
	slot := &k[(hash^hash>>8)&0xff]
	if slot.text != string(raw) {
		text := string(raw)
		*slot = cachedKey{text, []any{text}}
	}
	return *slot
}
