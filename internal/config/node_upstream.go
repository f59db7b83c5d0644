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
	f := n.Peer.check(map[bool]string{true: "upstream", false: "peer"}[n.Recovery], n.Name)
	third := n.Third
	switch {
	case third == NodePeer{}:
		return f
	case n.Recovery:
		f.Add("recovery", "recovery names the main site's node for disaster recovery; this node is one itself, for it has upstream")
	case third.Name == n.Peer.Name || third.Status == n.Peer.Status:
		f.Add("recovery", "the node for disaster recovery is a third one, and not the peer")
	default:
		f = append(f, third.check("recovery", n.Name)...)
	}
	return f
}
