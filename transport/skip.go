package transport

// skip passes over one JSON value, checking it, and returns its bytes. depth
// is how much deeper it may nest.
func (s *scanner) skip(depth int) ([]byte, error) {
	s.peek()
	start := s.pos
	if err := s.skipValue(depth); err != nil {
		return nil, err
	}
	return s.data[start:s.pos], nil
}

func (s *scanner) skipValue(depth int) error {
	switch c := s.peek(); {
	case c == '{' || c == '[':
		if depth <= 0 {
			return violation("message nests too deep")
		}
		return s.skipMembers(c, depth-1)
	case c == '"':
		_, _, err := s.raw()
		return err
	case c == '-' || c-'0' < 10:
		_, err := s.number()
		return err
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	default:
		return s.word("null")
	}
}

func (s *scanner) skipMembers(open byte, depth int) error {
	s.pos++
	closing := open + 2 // ']' follows '[' and '}' follows '{' at this distance
	if s.accept(closing) {
		return nil
	}
	for {
		if open == '{' {
			if _, _, err := s.raw(); err != nil {
				return err
			}
			if err := s.expect(':'); err != nil {
				return err
			}
		}
		if err := s.skipValue(depth); err != nil {
			return err
		}
		if s.accept(closing) {
			return nil
		}
		if err := s.expect(','); err != nil {
			return err
		}
	}
}
