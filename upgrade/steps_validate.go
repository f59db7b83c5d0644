package upgrade

// validatePair gives the guide's test plan (Step 7, Table 3, tasks 1 to 5), each
// as a step.
func (m maker) validatePair(guide string) []Step {
	s, p := m.secondary, m.primary
	const name = "ValidatePair/"
	return []Step{
		m.connectivity(name+"Connectivity", guide),
		m.sync(name+"ManualSync", guide, "Sync by hand; every task completed", p, s),
		{
			Name: name + "DeviceCount", Guide: guide, Title: "The device count is equal on both",
			Why:  "task 3: the stand-by was updated correctly",
			Done: func(v View) Verdict { return sameCount(v, p, s, name+"DeviceCount") },
		},
		m.mail(name+"TestEmail", guide),
		{
			Name: name + "Heartbeat", Guide: guide, Title: "The heartbeat shows on " + s,
			Why: "task 5: " + s + " watches " + p,
			Done: func(v View) Verdict {
				n, read := node(v, s)
				switch {
				case !read.OK:
					return read
				case n.Driver != "agent" && v.Confirmed[name+"Heartbeat"] != "":
					return yes("a person says so: %s", v.Confirmed[name+"Heartbeat"])
				case n.Driver != "agent":
					return never("nobody can tell; look into the log HighAvailability of %s, then: understudy upgrade approve --step %sHeartbeat --reason TEXT", s, name)
				case !n.Heard || n.Beat == v.Mark[s+".beat"]:
					return notYet("%s has not heard %s since", s, p)
				}
				return yes("%s heard %s at %s", s, p, when(n.Beat))
			},
		},
	}
}

// connectivity is task 1: Test Connection on both.
func (m maker) connectivity(name, guide string) Step {
	return Step{
		Name: name, Guide: guide, Title: "Test Connection on both nodes",
		Why: "task 1: each reaches the other",
		Done: func(v View) Verdict {
			for _, at := range m.both() {
				n, read := node(v, at)
				taken := v.Tried[Deed{On: at, Do: DoTestPeer}.String()] == TrialTaken
				switch {
				case !read.OK:
					return read
				case v.Confirmed[name] != "":
				case n.Driver == "agent" && !n.Heard:
					return notYet("%s does not hear %s", at, n.Peer)
				case n.Driver != "agent" && !taken:
					return notYet("%s was not tested", at)
				}
			}
			return yes("Test was successful on both")
		},
		Do: func(v View) (deeds []Deed) {
			for _, at := range m.both() {
				if v.Nodes[at].Driver != "agent" {
					deeds = append(deeds, Deed{On: at, Do: DoTestPeer})
				}
			}
			return deeds
		},
	}
}

func sameCount(v View, p, s, name string) Verdict {
	a, read := node(v, p)
	if !read.OK {
		return read
	}
	b, read := node(v, s)
	switch {
	case !read.OK:
		return read
	case v.Confirmed[name] != "":
		return yes("a person says so: %s", v.Confirmed[name])
	case a.Count == "" && b.Count == "":
		return yes("not compared: no node has a command for it (app.count)")
	case a.Count != b.Count:
		return notYet("%s counts %s and %s %s", p, orNone(a.Count), s, orNone(b.Count))
	}
	return yes("both count %s", a.Count)
}

// mail is task 4; without mail_test it is left out, and the report says so.
func (m maker) mail(name, guide string) Step {
	s := m.secondary
	step := Step{Name: name, Guide: guide, Title: "Send a test e-mail from " + s, Why: "task 4: whoever is to hear of a failover does"}
	if !m.c.MailTest {
		step.Done = func(View) Verdict { return yes("left out: the plan says mail_test: false") }
		return step
	}
	step.Do = one(s, DoTestMail, "")
	step.Done = func(v View) Verdict {
		switch {
		case v.Confirmed[name] != "":
			return yes("a person says so: %s", v.Confirmed[name])
		case v.Tried[Deed{On: s, Do: DoTestMail}.String()] == TrialTaken:
			return yes("%s has sent one", s)
		}
		return notYet("%s has not sent one", s)
	}
	return step
}
