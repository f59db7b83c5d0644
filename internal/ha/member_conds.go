package ha

// Cond is a condition of a row, or with Not its opposite.
type Cond uint8

// Not turns a condition round.
const Not Cond = 0x80

// The conditions.
const (
	IfSafe        Cond = iota + 1
	IfContinue         // on_register_loss: continue
	IfEnabled          // High Availability
	IfAlone            // serves like a stand-alone server while disabled
	IfOut              // something is against serving
	IfReturning        // at boot: it was Active, or is the Primary's first start
	IfFlipped          // it stood by and a person has set it to Primary while disabled
	IfCommit           // a copy is going live
	IfBlocked          // paused, or between the steps of a swap
	IfKeep             // If Failure Detected: Keep in Standby
	IfClear            // no guard is against a promotion
	IfElectable        // the agents may elect it: it is the Secondary, or resume: client_majority
	IfResume           // resume: client_majority
	IfFence            // a fence command is required
	IfLastMiss         // this failed heartbeat is the one that completes the count
	IfCounted          // as many heartbeats in a row have failed as it takes
	IfWaited           // the promotion hold has run already
	IfResting          // a start failed a short while ago
	IfFailed           // the last start failed
	IfHanding          // asked the peer to step down
	IfCurrent          // the fronts' decision is about the peer's present reign
	IfAsked            // a person wants this promotion
	IfLastHere         // nobody is known to have served later than this node
	IfSuperseded       // another node has served at a higher epoch than this node ever did
	IfOvertaken        // comes back by itself and is superseded
	IfHigher           // another node serves at a higher epoch than this one's
	IfNewer            // the epoch has changed since the person's wait began
	IfPeerServes       // the peer says that its application runs, or may
	IfPeerComing       // the peer says that, or that it is about to be Active
	IfPeerWell         // the peer says that it is Active
	IfPeerReturns      // the peer says that it is about to be Active, or asks whether it may
	IfYielded          // the peer says that it has stepped down
	IfMine             // the answer is about the newest attempt, or the present epoch
	IfFresh            // the lease was sent for recently enough to serve by it
	IfWentBack         // the register shows less than it had shown before the question
	IfKeyHeld          // a node has the lease
	IfMeant            // the step-down is about this node's present reign
	IfFirm             // the peer will be Active, whatever this node says
	IfTries            // the application may be started once more
	IfWaits            // the timer of absence runs
	IfFails            // the timer of app_fail runs
	IfSyncing          // a sync runs
	IfScheduled        // the schedule runs
	IfOlderSource      // the copy comes from a node that served before the present one

	conds // how many there are
)

// look is what a condition looks at.
type look struct {
	mc  *Machine
	m   *Member
	e   *Event
	now Instant
}

// condTable gives the words of each condition and what it means.
var condTable = [conds]struct {
	words string
	holds func(look) bool
}{
	IfSafe:      {"safe", func(l look) bool { return l.mc.Profile == Safe }},
	IfContinue:  {"continue", func(l look) bool { return l.mc.Continue }},
	IfEnabled:   {"enabled", func(l look) bool { return l.m.Enabled }},
	IfAlone:     {"alone", func(l look) bool { return l.mc.alone(*l.m) }},
	IfOut:       {"out", func(l look) bool { return l.m.Out != InStarting }},
	IfReturning: {"was Active", func(l look) bool { return l.m.Last == Active || l.m.Last == NotAvailable && l.m.Mode == Primary }},
	IfFlipped:   {"flipped", func(l look) bool { return l.m.Last == Standby && l.m.Shown == Primary }},
	IfCommit:    {"commit open", func(l look) bool { return l.m.Commit }},
	IfBlocked:   {"blocked", func(l look) bool { return l.m.Blocked }},
	IfKeep:      {"Keep in Standby", func(l look) bool { return l.mc.KeepInStandby }},
	IfClear:     {"guards clear", look.clear},
	IfElectable: {"electable", func(l look) bool { return l.m.Mode == Secondary || l.mc.Resume }},
	IfResume:    {"resume by agents", func(l look) bool { return l.mc.Resume }},
	IfFence:     {"fence required", func(l look) bool { return l.mc.Fence }},
	IfLastMiss:  {"count complete", func(l look) bool { return l.m.Misses+1 >= l.mc.Failures }},
	IfCounted:   {"counted", func(l look) bool { return l.m.Misses >= l.mc.Failures }},
	IfWaited:    {"hold has run", func(l look) bool { return l.m.Waited }},
	IfResting:   {"resting", func(l look) bool { return l.m.Resting }},
	IfFailed:    {"last start failed", func(l look) bool { return l.m.Failed }},
	IfHanding:   {"handing over", func(l look) bool { return l.m.Handing }},
	IfCurrent:   {"decision current", func(l look) bool { return l.e.Epoch >= l.m.PeerReign }},
	IfAsked:     {"asked", func(l look) bool { return l.m.Asked }},
	IfLastHere:  {"last here", func(l look) bool { return l.m.Served >= l.m.Seen && l.m.Served >= l.m.Epoch }},

	IfSuperseded:  {"superseded", func(l look) bool { return l.m.Seen > l.m.Served }},
	IfOvertaken:   {"overtaken", func(l look) bool { return l.m.Returning && l.m.Seen > l.m.Served }},
	IfHigher:      {"higher epoch", func(l look) bool { return l.m.Seen > l.m.Epoch }},
	IfNewer:       {"newer epoch", func(l look) bool { return l.m.WaitEpoch != 0 && max(l.e.Epoch, l.m.Seen) > l.m.WaitEpoch }},
	IfPeerServes:  {"peer serves", func(l look) bool { return l.e.Peer.Runs }},
	IfPeerComing:  {"peer coming", func(l look) bool { return l.e.Peer.Coming || l.e.Peer.Runs }},
	IfPeerWell:    {"peer well", func(l look) bool { return l.e.Peer.State == Active }},
	IfPeerReturns: {"peer returns", func(l look) bool { return l.e.Peer.Coming || l.e.Peer.Asks }},
	IfYielded:     {"peer yielded", func(l look) bool { return l.e.Peer.Yielded }},

	IfMine:     {"mine", look.mine},
	IfFresh:    {"fresh", func(l look) bool { return l.e.Sent.After(l.mc.Hold()) > l.now }},
	IfWentBack: {"went back", look.wentBack},
	IfKeyHeld:  {"key held", func(l look) bool { return l.e.Held }},
	IfMeant:    {"meant", func(l look) bool { return l.e.Epoch >= l.m.Reign }},
	IfFirm:     {"firm", func(l look) bool { return l.e.Firm }},
	IfTries:    {"tries left", func(l look) bool { return l.m.Starts < l.mc.StartTries }},
	IfWaits:    {"absence runs", func(l look) bool { return l.m.Timers[AtAbsent] != 0 }},
	IfFails:    {"app_fail runs", func(l look) bool { return l.m.Timers[AtApp] != 0 }},

	IfSyncing:     {"syncing", func(l look) bool { return l.m.Syncing }},
	IfScheduled:   {"scheduled", func(l look) bool { return l.m.Scheduled }},
	IfOlderSource: {"older source", func(l look) bool { return l.e.Epoch < l.m.Seen }},
}

// clear is the guards of a promotion. Profile documented knows only the guide's
// own; that nothing happens between the steps of a swap holds for both.
func (l look) clear() bool {
	if l.m.Blocked || l.m.PeerFirst {
		return false
	}
	return l.mc.Profile == Documented || !l.m.Unfit && l.now >= l.m.TiltUntil
}

// mine says whether an answer is about what this node asked last.
func (l look) mine() bool {
	if l.e.On == OnServedWritten || l.e.On == OnServedRefused {
		return l.e.Epoch == l.m.Epoch
	}
	return l.e.Attempt == l.m.Attempt
}

// wentBack says whether the register shows less than was known when it was
// asked: an answer that was only late does not.
func (l look) wentBack() bool {
	if l.e.On == OnLeaseGranted && l.e.Epoch <= l.e.Floor {
		return true
	}
	return l.e.Revision < l.e.Floor || l.m.Cluster != 0 && l.e.Cluster != l.m.Cluster
}

// words gives a condition as it is printed.
func (c Cond) String() string {
	if c&Not != 0 {
		return "not " + condTable[c&^Not].words
	}
	return condTable[c].words
}

// holds says whether a condition holds.
func (c Cond) holds(l look) bool {
	return condTable[c&^Not].holds(l) != (c&Not != 0)
}
