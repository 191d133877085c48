package node

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"
)

// Before two nodes replicate, each says who it is: a node of another site of
// the same name, or one that has lost its log, would be believed otherwise and
// take the site's state with it.

// greeting is what either side says first on a Raft connection.
type greeting struct {
	Site     string `json:"site"`
	SiteID   string `json:"siteId,omitempty"`
	Node     string `json:"node"`
	Instance string `json:"instance"`
	Last     uint64 `json:"last"`              // how far its log is
	Refusal  string `json:"refusal,omitempty"` // in an answer: why it ends here
	Former   bool   `json:"former,omitempty"`  // in an answer: the site has given up the life that the other end is of
}

const (
	greetingMagic = "catalyst1" // the last byte is the version
	greetingMost  = 4 << 10
	greetingTime  = 3 * time.Second
)

func (n *Node) greeting() greeting {
	i := n.who()
	g := greeting{Site: i.Site, SiteID: i.SiteID, Node: i.Node, Instance: i.Instance}
	if stores := n.opened.Load(); stores != nil { // others may dial before all is open
		g.Last = stores.last()
	}
	return g
}

// stranger says why another node must not replicate with this one.
func (n *Node) stranger(g greeting) error {
	me := n.who()
	known, _ := n.machine.Table().Instance(g.Node)
	switch {
	case strangerTo(me.Site, me.SiteID, g.Node, g.Site, g.SiteID) != nil:
		return strangerTo(me.Site, me.SiteID, g.Node, g.Site, g.SiteID)
	case g.Node == me.Node:
		return fmt.Errorf("both are called %s: give each node its own --id", g.Node)
	case n.machine.Table().Expelled(g.Instance):
		return fmt.Errorf("%s is no member any more: %s", g.Node, removed)
	case known != "" && known != g.Instance && g.Last <= n.machine.Applied():
		// One that replaced it holds at least the entry that says so, which may
		// not have come here yet: this node would refuse the leader that has it.
		return fmt.Errorf("%s", amnesia(g.Node))
	}
	return nil
}

// strangerTo says why a node does not belong to a site, by names and ids; an
// empty id is that of a node that is in no site yet.
func strangerTo(site, siteID, node, itsSite, itsSiteID string) error {
	switch {
	case itsSite != site:
		return fmt.Errorf("%s is a node of site %q, this is site %q: nodes of different sites are peered, not joined", node, itsSite, site)
	case itsSiteID != "" && siteID != "" && itsSiteID != siteID:
		return fmt.Errorf("%s and this node hold the states of two sites of the name %q (site ids %s and %s), or one of them that from before catalyst recover: "+
			"find out which of the two does not belong here, empty its data directory and join it anew", node, site, itsSiteID, siteID)
	}
	return nil
}

// amnesia is what to do with a node that came back without its log. To believe
// it would be to let it vote twice.
func amnesia(id string) string {
	return fmt.Sprintf("%s has lost the data that it had as a member, or another machine uses its id: it must not vote. "+
		"Replace it: %s", id, replace(id))
}

// replace is how a node is replaced whose data is lost.
func replace(id string) string {
	return fmt.Sprintf("take it out at another node (catalyst member remove %s), empty its data directory and join it anew; a site's only node is restored from a snapshot instead", id)
}

// greet is the dialler's half.
func (n *Node) greet(c net.Conn) error {
	if err := writeGreeting(c, n.greeting()); err != nil {
		return err
	}
	answer, err := readGreeting(c)
	switch {
	case err != nil:
		return fmt.Errorf("the other end does not greet as a node: %w", err)
	case answer.Former:
		n.stopSoon(dismissal(fmt.Sprintf("it was recovered from %s without this node (catalyst recover): empty this node's data directory and join it anew", answer.Node)))
		return &refusedNode{"the site was recovered without this node"}
	case answer.Refusal != "":
		return &refusedNode{fmt.Sprintf("%s refuses this node: %s", answer.Node, answer.Refusal)}
	}
	return n.stranger(answer)
}

// answer is the other half; vouched is the node that the certificate names,
// if there is one.
func (n *Node) answer(c net.Conn, vouched string) error {
	g, err := readGreeting(c)
	if err != nil {
		return fmt.Errorf("%s does not greet as a node: %w", c.RemoteAddr(), err)
	}
	if err = n.stranger(g); err == nil && vouched != "" && vouched != g.Node {
		err = fmt.Errorf("the certificate is that of node %s, not of %s", vouched, g.Node)
	}
	mine := n.greeting()
	if err != nil {
		mine.Refusal, mine.Former = err.Error(), n.machine.Table().Former(g.SiteID)
	}
	if e := writeGreeting(c, mine); err == nil {
		err = e
	}
	return err
}

// refusedNode is the word of another node that this one must not take part.
type refusedNode struct{ why string }

func (r *refusedNode) Error() string { return r.why }

func writeGreeting(w io.Writer, g greeting) error {
	body, err := json.Marshal(g)
	if err != nil {
		return err
	}
	message := binary.BigEndian.AppendUint16([]byte(greetingMagic), uint16(len(body)))
	_, err = w.Write(append(message, body...))
	return err
}

func readGreeting(r io.Reader) (g greeting, err error) {
	var head [len(greetingMagic) + 2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return g, err
	}
	if magic := string(head[:len(greetingMagic)]); magic != greetingMagic {
		return g, fmt.Errorf("it begins with %q", magic)
	}
	size := binary.BigEndian.Uint16(head[len(greetingMagic):])
	if size > greetingMost {
		return g, fmt.Errorf("a greeting of %d bytes, the most is %d", size, greetingMost)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return g, err
	}
	return g, json.Unmarshal(body, &g)
}
