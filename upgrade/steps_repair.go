package upgrade

import "slices"

// repair gives the Defender guide's way: trust is removed on both, both are
// updated, and paired again. The pair is unprotected meanwhile, and the keys
// are exchanged anew: it is a fallback only.
func (m maker) repair() []Step {
	p, s := m.primary, m.secondary
	disable := m.disable()
	disable.Guide = ""
	steps := []Step{m.lock(), m.hold(""), disable}
	steps = append(steps, m.unpair(p, s), m.unpair(s, p))
	for _, one := range m.upgradeSecondary() {
		if one.Name == "UpgradeSecondary/MakePrimary" || one.Name == "UpgradeSecondary/ReturnToSecondary" {
			continue
		}
		one.Guide = "2"
		steps = append(steps, one)
	}
	steps = append(steps, m.upgradePrimary("2")...)
	steps = append(steps, m.pair(p, s), m.pair(s, p), m.enable(""))
	steps = append(steps, m.validatePair("")...)
	return append(steps, m.release("", p, s), m.unlock())
}

func (m maker) unpair(at, other string) Step {
	name := "Unpair/" + at
	return Step{
		Name: name, Guide: "1", Title: "Remove " + other + " from the trusted hosts of " + at + ", and apply",
		Why:  "the guide disconnects high availability on both before the update",
		Done: func(v View) Verdict { return m.trusts(v, at, other, name, false) },
		Do:   one(at, DoUnpair, other),
		Undo: one(at, DoPair, other), Undone: func(v View) Verdict { return m.trusts(v, at, other, name, true) },
	}
}

func (m maker) pair(at, other string) Step {
	name := "Pair/" + at
	return Step{
		Name: name, Guide: "3", Title: "Pair " + at + " with " + other + " again, and apply",
		Why: "trust was removed for the update", Timeout: m.c.Timeouts.Person,
		Done: func(v View) Verdict { return m.trusts(v, at, other, name, true) },
		Do:   one(at, DoPair, other),
	}
}

// trusts says whether a node trusts another, or does not, as wanted.
func (m maker) trusts(v View, at, other, step string, want bool) Verdict {
	n, read := node(v, at)
	word := map[bool]string{true: "trusts", false: "does not trust"}
	did := v.Tried[Deed{On: at, Do: map[bool]string{true: DoPair, false: DoUnpair}[want], With: other}.String()] == TrialTaken
	switch {
	case !read.OK:
		return read
	case v.Confirmed[step] != "":
		return yes("a person says so: %s", v.Confirmed[step])
	case n.Trusted == nil && did:
		return yes("%s was told so", at)
	case n.Trusted == nil:
		return notYet("nobody can tell whom %s trusts", at)
	case slices.Contains(n.Trusted, other) == want:
		return yes("%s %s %s", at, word[want], other)
	}
	return notYet("%s still %s %s", at, word[!want], other)
}
