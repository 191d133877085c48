package gossip

import (
	"encoding/json"

	"github.com/hashicorp/memberlist"
)

// delegate is what memberlist asks and tells. Its methods must not block.
type delegate struct{ m *Members }

func (d delegate) NodeMeta(limit int) []byte {
	b, err := json.Marshal(d.m.Me())
	if err != nil || len(b) > limit {
		d.m.cfg.Log.Error("gossip: this node's metadata is too long", "bytes", len(b), "limit", limit)
		return nil
	}
	return b
}

func (d delegate) NotifyMsg([]byte)                {}
func (d delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (d delegate) LocalState(bool) []byte          { return nil }
func (d delegate) MergeRemoteState([]byte, bool)   {}
func (d delegate) NotifyJoin(n *memberlist.Node)   { d.m.note(n, Alive) }
func (d delegate) NotifyUpdate(n *memberlist.Node) { d.m.note(n, Alive) }

func (d delegate) NotifyLeave(n *memberlist.Node) {
	state := Failed
	if n.State == memberlist.StateLeft {
		state = Left
	}
	d.m.note(n, state)
}

// NotifyConflict: two live nodes carry one id.
func (d delegate) NotifyConflict(existing, other *memberlist.Node) {
	d.m.cfg.Doubled(existing.Name, []string{existing.Address(), other.Address()})
}

// NotifyMerge and NotifyAlive keep other sites out.
func (d delegate) NotifyMerge(others []*memberlist.Node) error {
	for _, o := range others {
		if err := d.NotifyAlive(o); err != nil {
			return err
		}
	}
	return nil
}

func (d delegate) NotifyAlive(other *memberlist.Node) error {
	var o About
	if json.Unmarshal(other.Meta, &o) != nil || o.Site == "" || other.Name == d.m.cfg.ID {
		return nil
	}
	return d.m.cfg.Stranger(d.m.Me(), other.Name, o)
}
