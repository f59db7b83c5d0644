package ha

// Call is what a front tells the node that it has sent clients to, as long as
// that one still stands by.
type Call struct {
	Group     string
	Node      string // that serves
	Epoch     uint64 // of the Traffic
	Left      string // that served before
	LeftEpoch uint64 // its epoch, as known when it was left
}

// Call gives what is to be told now, if anything. A group that is held, and one
// whose register does not bear out what is known, tell nothing.
func (s *Situation) Call() (Call, bool) {
	t := &s.Traffic
	if t.Left == "" || t.Left == t.Serving || t.Serving == "" || t.Hold != nil || t.Adrift != "" {
		return Call{}, false
	}
	if s.View.Of(t.Serving).Last.State != Standby {
		return Call{}, false
	}
	return Call{t.Group, t.Serving, t.Epoch, t.Left, t.LeftEpoch}, true
}
