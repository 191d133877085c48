package pipeline

import (
	"net/url"
	"strings"

	"github.com/catalyst/orchestrator/fsm"
)

// peerOp reads an action on a configured peer site.
func (a Action) peerOp() (fsm.Op, error) {
	o, err := objectAt("data", a.Data)
	if err != nil {
		return nil, err
	}
	if a.Action == "delete" {
		id, err := o.text("id", "give the peer's id; `catalyst peer list` shows them")
		return fsm.DeletePeer{ID: id}, err
	}
	p, err := o.peer()
	if err != nil {
		return nil, err
	}
	return fsm.PutPeer{Mode: a.mode(), Peer: p}, o.within(p.Validate())
}

func (o object) peer() (p fsm.PeerConfig, err error) {
	if p.Endpoints, err = o.texts("endpoints"); err != nil {
		return p, err
	}
	for i, e := range p.Endpoints {
		if u, err := url.Parse(e); err != nil || u.Host == "" || u.Scheme != "ws" && u.Scheme != "wss" {
			return p, invalid("%s.%d: is %s; give the WebSocket of a node of the peer site, as in ws://host:3000/rpc", o.at("endpoints"), i, quote(e))
		}
	}
	if p.ID, err = o.optionalText("id"); err != nil {
		return p, err
	}
	if p.ID == "" && len(p.Endpoints) > 0 {
		p.ID = peerID(p.Endpoints[0])
	}
	if p.Secret, err = o.optionalText("secret"); err != nil {
		return p, err
	}
	restart, err := o.count("restartTime")
	if err != nil {
		return p, err
	}
	most, err := o.count("maxRoutes")
	p.RestartTime, p.MaxRoutes = int(min(restart, 1<<31-1)), int(min(most, 1<<31-1))
	return p, err
}

// peerID names a peer that its operator did not, after the host and port of an
// endpoint.
func peerID(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return ""
	}
	return strings.Trim(strings.ReplaceAll(u.Hostname()+"-"+u.Port(), ":", "-"), "-")
}
