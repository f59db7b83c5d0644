package config

// readUpstream reads the peer of a node for disaster recovery: the main site's
// Secondary, which it takes for its Primary (EPMM guide, three servers).
func (n *NodeFile) readUpstream(v value) {
	if n.Recovery = true; n.Peer.Name != "" {
		v.fault("upstream stands in the place of peer: a node for disaster recovery has only the one")
	}
	keys{"name": text(&n.Peer.Name), "status": text(&n.Peer.Status)}.read(v)
}

func (n *NodeFile) checkPeer() Faults {
	if n.Recovery {
		return n.Peer.check("upstream", n.Name)
	}
	return n.Peer.check("peer", n.Name)
}
