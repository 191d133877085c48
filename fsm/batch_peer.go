package fsm

import "fmt"

func (o OpenPeer) encode(b []byte) []byte {
	b = appendText(b, 1, o.Peer)
	b = appendText(b, 2, o.Epoch)
	b = appendUint(b, 3, o.Term)
	return appendBool(b, 4, o.Collector)
}

func decodeOpenPeer(s *scanner) (o OpenPeer) {
	for s.next() {
		switch s.field {
		case 1:
			o.Peer = s.text()
		case 2:
			o.Epoch = s.text()
		case 3:
			o.Term = s.uint()
		case 4:
			o.Collector = s.uint() != 0
		}
	}
	return o
}

func (b BindPeer) encode(to []byte) []byte {
	return appendText(appendText(to, 1, b.ID), 2, b.Peer)
}

func decodeBindPeer(s *scanner) (b BindPeer) {
	for s.next() {
		switch s.field {
		case 1:
			b.ID = s.text()
		case 2:
			b.Peer = s.text()
		}
	}
	return b
}

func (m MarkStale) encode(b []byte) []byte { return appendText(b, 1, m.Peer) }

func (d DeletePeer) encode(b []byte) []byte { return appendText(b, 1, d.ID) }

func (w Withdraw) encode(b []byte) []byte {
	return appendBool(appendText(b, 1, w.Peer), 2, w.Stale)
}

func decodeWithdraw(s *scanner) (w Withdraw) {
	for s.next() {
		switch s.field {
		case 1:
			w.Peer = s.text()
		case 2:
			w.Stale = s.uint() != 0
		}
	}
	return w
}

func (l Learn) encode(b []byte) []byte {
	b = appendText(b, 1, l.Peer)
	b = appendText(b, 2, l.Epoch)
	b = appendUint(b, 3, l.Term)
	b = appendUint(b, 4, l.Version)
	for i := range l.Add {
		b = appendMessage(b, 5, l.Add[i].encode)
	}
	for i := range l.Remove {
		b = appendMessage(b, 6, l.Remove[i].encode)
	}
	b = appendBool(b, 7, l.EndOfRIB)
	return appendBool(b, 8, l.Resumed)
}

func decodeLearn(s *scanner) (l Learn) {
	for s.next() {
		switch s.field {
		case 1:
			l.Peer = s.text()
		case 2:
			l.Epoch = s.text()
		case 3:
			l.Term = s.uint()
		case 4:
			l.Version = s.uint()
		case 5:
			l.Add = append(l.Add, decodeLearnedRoute(s))
		case 6:
			l.Remove = append(l.Remove, decodeLearnedKey(s))
		case 7:
			l.EndOfRIB = s.uint() != 0
		case 8:
			l.Resumed = s.uint() != 0
		}
		if len(l.Add) > MaxBatch || len(l.Remove) > MaxBatch {
			s.fail(fmt.Errorf("more than %d routes learned at once", MaxBatch))
		}
	}
	return l
}

func (r *LearnedRoute) encode(b []byte) []byte {
	if r.ID != r.Service.ID() {
		b = appendText(b, 1, r.ID)
	}
	b = appendMessage(b, 2, r.Service.encode)
	b = appendText(b, 3, r.Site)
	b = appendTexts(b, 4, r.Path)
	return appendUint(b, 5, r.Version)
}

func decodeLearnedRoute(s *scanner) (r LearnedRoute) {
	inner := s.message()
	for inner.next() {
		switch inner.field {
		case 1:
			r.ID = inner.text()
		case 2:
			r.Service = decodeService(&inner)
		case 3:
			r.Site = inner.text()
		case 4:
			r.Path = append(r.Path, inner.text())
		case 5:
			r.Version = inner.uint()
		}
	}
	s.absorb(&inner)
	return r
}

func (k *LearnedKey) encode(b []byte) []byte {
	b = appendText(b, 1, k.ID)
	return appendText(b, 2, k.Site)
}

func decodeLearnedKey(s *scanner) (k LearnedKey) {
	inner := s.message()
	for inner.next() {
		switch inner.field {
		case 1:
			k.ID = inner.text()
		case 2:
			k.Site = inner.text()
		}
	}
	s.absorb(&inner)
	return k
}

func (p PutPeer) encode(b []byte) []byte {
	b = appendUint(b, 1, uint64(p.Mode))
	return appendMessage(b, 2, p.Peer.encode)
}

func decodePutPeer(s *scanner) (p PutPeer) {
	for s.next() {
		switch s.field {
		case 1:
			p.Mode = decodeMode(s)
		case 2:
			p.Peer = decodePeerConfig(s)
		}
	}
	return p
}

func (p PeerConfig) encode(b []byte) []byte {
	b = appendText(b, 1, p.ID)
	b = appendTexts(b, 2, p.Endpoints)
	b = appendText(b, 3, p.Secret)
	b = appendUint(b, 4, uint64(p.RestartTime))
	b = appendUint(b, 5, uint64(p.MaxRoutes))
	b = appendText(b, 6, p.Site)
	return appendUint(b, 7, p.CreatedIndex)
}

func decodePeerConfig(s *scanner) (p PeerConfig) {
	inner := s.message()
	for inner.next() {
		switch inner.field {
		case 1:
			p.ID = inner.text()
		case 2:
			p.Endpoints = append(p.Endpoints, inner.text())
		case 3:
			p.Secret = inner.text()
		case 4:
			p.RestartTime = int(int64(inner.uint()))
		case 5:
			p.MaxRoutes = int(int64(inner.uint()))
		case 6:
			p.Site = inner.text()
		case 7:
			p.CreatedIndex = inner.uint()
		}
	}
	s.absorb(&inner)
	return p
}
