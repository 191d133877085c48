package main

import "net"

// checkPorts finds out beforehand whether a port is taken: the nodes would say
// so in their logs only.
func (s *devSite) checkPorts() error {
	for _, c := range s.children {
		for _, p := range []struct{ use, network, address string }{
			{"RPC", "tcp", c.rpc}, {"Raft", "tcp", c.raft}, {"gossip", "tcp", c.gossip}, {"gossip", "udp", c.gossip},
		} {
			if err := tryPort(p.network, p.address); err != nil {
				return unusable("stop what listens there, or move the site with --port, as in --port 4000",
					"%s of %s needs %s %s: %s", p.use, c.id, p.network, p.address, reason(err))
			}
		}
	}
	return nil
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
