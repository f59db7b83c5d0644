package upgrade

import "fmt"

// documented gives the procedure of the EPMM guide, "software upgrade
// procedures", 1 to 9; Guide is its number of each step.
func (m maker) documented() []Step {
	s, p := m.secondary, m.primary
	steps := []Step{m.lock()}
	if m.c.SyncFirst {
		steps = append(steps, m.sync("SyncFirst", "", "Sync once before High Availability is disabled", p, s))
	}
	steps = append(steps, m.disable(), m.awaitSync(), m.hold("3"))
	steps = append(steps, m.upgradeSecondary()...)
	steps = append(steps, m.upgradePrimary("5")...)
	steps = append(steps, m.enable("6"))
	steps = append(steps, m.validatePair("7")...)
	return append(steps, m.schedule(), m.release("9", p, s), m.unlock())
}

func (m maker) disable() Step {
	s := m.secondary
	return Step{
		Name: "DisableHAOnSecondary", Guide: "1", Title: "Disable High Availability on " + s,
		Why: "so that it neither syncs nor promotes itself; a sync that runs goes on",
		Done: func(v View) Verdict {
			n, read := node(v, s)
			switch {
			case !read.OK:
				return read
			case n.Enabled == Disabled || n.Enabled == "" && v.Confirmed["DisableHAOnSecondary"] != "":
				return yes("High Availability is disabled on %s", s)
			}
			return notYet("High Availability is %s on %s", orNone(n.Enabled), s)
		},
		Do: one(s, DoDisable, ""),
		Undo: func(v View) []Deed {
			if v.Mark[s+".ha"] == Disabled { // it was so before us
				return nil
			}
			return []Deed{{On: s, Do: DoEnable, With: Secondary}}
		},
		Undone: func(v View) Verdict {
			if v.Mark[s+".ha"] == Disabled {
				return yes("it was disabled before the run")
			}
			return m.standsBy(v, "DisableHAOnSecondary")
		},
	}
}

// standsBy says whether the Secondary is enabled and in Standby.
func (m maker) standsBy(v View, step string) Verdict {
	s := m.secondary
	n, read := node(v, s)
	switch {
	case !read.OK:
		return read
	case n.Enabled == "" && v.Confirmed[step] == "":
		return notYet("nobody can tell whether High Availability is enabled on %s", s)
	case n.Enabled == Disabled:
		return notYet("High Availability is disabled on %s", s)
	case n.State != Standby || !n.Settled:
		return notYet("%s is %s, not in Standby yet", s, n.State)
	}
	return yes("High Availability is enabled on %s, which is in Standby", s)
}

func (m maker) upgradeSecondary() []Step {
	s := m.secondary
	const name = "UpgradeSecondary/"
	back := one(s, DoSecondary, "")
	return []Step{
		{
			Name: name + "MakePrimary", Guide: "4", Title: "Make " + s + " Primary, so that it can download",
			Why:   "the guide lets only a Primary download; High Availability is disabled and traffic held, so no client comes",
			Needs: func(v View) Verdict { return routers(v, "held", heldByUs) },
			Done:  func(v View) Verdict { return m.cast(v, name+"MakePrimary", DoPrimary) },
			Do:    one(s, DoPrimary, ""), Undo: back,
			Undone: func(v View) Verdict { return m.cast(v, name+"MakePrimary", DoSecondary) },
		},
		m.job(Step{
			Name: name + "Download", Guide: "4", Title: fmt.Sprintf("Download %s on %s", m.c.To, s), Timeout: m.c.Timeouts.Download,
			Why: "by the node's own list app.download",
		}, s, DoDownload, fine),
		m.job(Step{
			Name: name + "Upgrade", Guide: "4", Title: fmt.Sprintf("Upgrade %s to %s", s, m.c.To), Timeout: m.c.Timeouts.Upgrade,
			Why: "the stand-by first: if it goes wrong, clients have lost nothing", Irreversible: m.c.Kind == "repair",
		}, s, DoUpgrade, func(v View) Verdict { return m.atVersion(v, s, name+"Upgrade") }),
		m.job(Step{
			Name: name + "Validate", Guide: "4", Title: "Validate the upgrade of " + s, Timeout: m.c.Timeouts.Validate,
			Why: "by the node's own list app.validate",
		}, s, DoValidate, func(v View) Verdict { return m.atVersion(v, s, name+"Validate") }),
		{
			Name: name + "ReturnToSecondary", Guide: "4", Title: "Return " + s + " to Secondary",
			Why:  "two nodes that call themselves Primary are one too many",
			Done: func(v View) Verdict { return m.cast(v, name+"ReturnToSecondary", DoSecondary) },
			Do:   back,
		},
	}
}

// cast says whether the Secondary shows the Mode that a deed gives it. The pages
// of an appliance may show none while High Availability is disabled.
func (m maker) cast(v View, step, do string) Verdict {
	mode := map[string]string{DoPrimary: Primary, DoSecondary: Secondary}[do]
	n, read := node(v, m.secondary)
	switch {
	case !read.OK:
		return read
	case n.Mode == mode:
		return yes("%s shows Mode %s", m.secondary, mode)
	case n.Mode == "" && v.Confirmed[step] != "":
		return yes("a person says so: %s", v.Confirmed[step])
	case n.Mode == "" && n.Driver == "ssh" && v.Tried[Deed{On: m.secondary, Do: do}.String()] == TrialTaken:
		return yes("%s was told so; its pages show no Mode", m.secondary)
	}
	return notYet("%s shows Mode %s, not %s yet", m.secondary, orNone(n.Mode), mode)
}

func (m maker) upgradePrimary(guide string) []Step {
	p := m.primary
	const name = "UpgradePrimary/"
	serves := func(v View) Verdict {
		n, read := node(v, p)
		switch {
		case !read.OK:
			return read
		case n.State != Active || !n.Settled:
			return notYet("%s is %s, not Active yet", p, n.State)
		}
		return yes("%s is Active", p)
	}
	return []Step{
		m.job(Step{
			Name: name + "Download", Guide: guide, Title: fmt.Sprintf("Download %s on %s", m.c.To, p), Timeout: m.c.Timeouts.Download,
			Why: "before the outage begins",
		}, p, DoDownload, fine),
		announced(m.job(Step{
			Name: name + "Upgrade", Guide: guide, Title: fmt.Sprintf("Upgrade %s to %s", p, m.c.To), Timeout: m.c.Timeouts.Upgrade,
			Why:          "clients are not served while it lasts: the guide's procedure has this outage by design",
			Gate:         fmt.Sprintf("The outage begins. From here on there is only the way forward: %s is upgraded, and with different versions the nodes do not replicate.", p),
			Irreversible: true, Outage: true,
		}, p, DoUpgrade, func(v View) Verdict { return both(m.atVersion(v, p, name+"Upgrade"), serves(v)) })),
		m.job(Step{
			Name: name + "Validate", Guide: guide, Title: "Validate the upgrade of " + p, Timeout: m.c.Timeouts.Validate,
			Why: "by the node's own list app.validate",
		}, p, DoValidate, func(v View) Verdict { return both(m.atVersion(v, p, name+"Validate"), serves(v)) }),
	}
}

// announced has every router of ours told of a step's outage before it begins,
// so that nobody is called for what is planned, and that it is over afterwards.
func announced(s Step) Step {
	ours := func(r Router, v View) bool { return r.Kind == "api" && r.Held && heldByUs(r, v) }
	done, do := s.Done, s.Do
	s.Done = func(v View) Verdict {
		if is := done(v); !is.OK {
			return is
		}
		return all(routers(v, "told that the outage is over", func(r Router, v View) bool { return !ours(r, v) || !r.Outage }), done(v))
	}
	s.Do = func(v View) []Deed {
		if done(v).OK {
			return eachRouter(DoHold, func(r Router, v View) bool { return ours(r, v) && r.Outage })(v)
		}
		return append(eachRouter(DoAnnounce, func(r Router, v View) bool { return ours(r, v) && !r.Outage })(v), do(v)...)
	}
	return s
}

func (m maker) enable(guide string) Step {
	s := m.secondary
	const name = "EnableHAOnSecondary"
	return Step{
		Name: name, Guide: guide, Title: "Enable High Availability on " + s,
		Why: "it watches and replicates again; the two versions are equal",
		Needs: func(v View) Verdict {
			a, b := v.Nodes[m.primary], v.Nodes[s]
			if a.Version != "" && b.Version != "" && a.Version != b.Version {
				return never("%s tells version %s and %s %s; with different versions they do not replicate", m.primary, a.Version, s, b.Version)
			}
			return yes("")
		},
		Done: func(v View) Verdict { return m.standsBy(v, name) },
		Do:   one(s, DoEnable, Secondary),
	}
}

func (m maker) schedule() Step {
	s := m.secondary
	want := map[string]string{}
	if m.c.Schedule.StartTime != "" {
		want["StartTime"] = m.c.Schedule.StartTime
	}
	if m.c.Schedule.RunEvery != "" {
		want["Run Every"] = m.c.Schedule.RunEvery
	}
	step := Step{
		Name: "ReviewSchedule", Guide: "8", Title: "Review StartTime and Run Every of " + s,
		Why: "they count from the moment at which they were saved last; the next runs are shown",
		Done: func(v View) Verdict {
			n, read := node(v, s)
			if !read.OK {
				return read
			}
			for key, value := range want {
				if n.Settings[key] != value {
					return notYet("%s is %s on %s, not %s yet", key, orNone(n.Settings[key]), s, value)
				}
			}
			if n.Settings == nil {
				return yes("nobody can tell the schedule of %s: look at it in its portal", s)
			}
			return yes("StartTime %s, Run Every %s; %s", orNone(n.Settings["StartTime"]), orNone(n.Settings["Run Every"]), runs(n))
		},
	}
	if len(want) > 0 {
		step.Do = func(View) []Deed {
			return []Deed{{On: s, Do: DoSettings, With: "StartTime=" + m.c.Schedule.StartTime + ";Run Every=" + m.c.Schedule.RunEvery}}
		}
	}
	return step
}
