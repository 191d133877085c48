package main

import "net"

// place is where something of a site listens.
type place struct{ use, network, address string }

// places are all that the site needs.
func (s *devSite) places() (all []place) {
	for _, n := range s.nodes {
		all = append(all, place{"RPC of " + n.id, "tcp", n.rpc}, place{"Raft of " + n.id, "tcp", n.raft},
			place{"gossip of " + n.id, "tcp", n.gossip}, place{"gossip of " + n.id, "udp", n.gossip})
	}
	if s.gatewayEndpoint == ownGateway {
		all = append(all, place{"the gateway", "tcp", s.at(gatewayAbove)})
	}
	for i, sample := range s.samples() {
		all = append(all, place{"the sample " + sample.Name, "tcp", s.sampleAt(i)})
	}
	return all
}

// checkPorts finds out beforehand whether a port is taken: the nodes would say
// so in their logs only.
func (s *devSite) checkPorts() error {
	for _, p := range s.places() {
		if err := tryPort(p.network, p.address); err != nil {
			return portTaken(p.use, p.network, p.address, err)
		}
	}
	return nil
}

func portTaken(use, network, address string, err error) error {
	return unusable("stop what listens there, or move the site with --port, as in --port 5000",
		"%s needs %s %s: %s", use, network, address, reason(err))
}

func tryPort(network, address string) error {
	if network == "udp" {
		l, err := net.ListenPacket(network, address)
		if err != nil {
			return err
		}
		return l.Close()
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	return l.Close()
}
