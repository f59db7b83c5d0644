package config

// readGroup reads a group of a YAML file.
func readGroup(g *Group) take {
	return keys{
		"kind":           choice(new(string), "pair"), // the other kind is read by readPool
		"nodes":          list(func(v value) { g.Nodes = append(g.Nodes, readNode(v)) }),
		"probe":          readProbe(&g.Probe),
		"on_promoted":    text((*string)(&g.OnPromoted)),
		"promotion_time": duration(&g.PromotionTime),
		"observe":        flag(&g.Observe),
		"lease_shared":   flag(&g.LeaseShared),
	}.read
}

func readNode(v value) (n Node) {
	keys{
		"name":      text(&n.Name),
		"url":       text(&n.URL),
		"probe_url": text(&n.ProbeURL),
		"peer":      text(&n.Peer),
		"addresses": addresses(&n.Addresses),
		"manual":    flag(&n.Manual),
	}.read(v)
	return n
}

func readProbe(p *Probe) take {
	return keys{
		"profile":        text(&p.Profile),
		"interval":       duration(&p.Interval),
		"fast_interval":  duration(&p.FastInterval),
		"timeout":        duration(&p.Timeout),
		"fall":           count(&p.Fall),
		"rise":           count(&p.Rise),
		"host":           text(&p.Host),
		"tls_ca":         file(&p.TLSCA),
		"tls_insecure":   flag(&p.TLSInsecure),
		"primary_path":   text(&p.Pages.PrimaryPath),
		"primary_expect": text(&p.Pages.PrimaryExpect),
		"standby_path":   text(&p.Pages.StandbyPath),
		"standby_expect": text(&p.Pages.StandbyExpect),
		"acting_expect":  text(&p.Pages.ActingExpect),
	}.read
}
