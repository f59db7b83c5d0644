package ha

import "slices"

// The sets of phases that rows share.
var (
	standing  = []Phase{InStandby, InSuspect, InDeciding, InLooking, InHeld}
	counting  = []Phase{InStandby, InSuspect, InDeciding, InHeld} // heartbeats, and the fronts' decisions
	promoting = []Phase{InPromoting, InRecording}
	running   = []Phase{InPromoting, InRecording, InActive}
	out       = []Phase{OutSuperseded, OutIsolated, OutAppFailed, OutYielded, OutWentBack}
	trying    = []Phase{OutIsolated, OutAppFailed, OutYielded} // come back by themselves
)

// except gives every phase but those.
func except(those ...[]Phase) []Phase {
	var rest []Phase
	for p := range phases {
		if !slices.Contains(slices.Concat(those...), p) {
			rest = append(rest, p)
		}
	}
	return rest
}

func only(p ...Phase) []Phase { return p }

// MemberTable gives the table of a node: what it does in every phase at every
// event, and why. Chapters and tables that a reason names are those of the EPMM
// High Availability guide; docs/explanation/the-machine.md tells the whole.
func MemberTable() Table {
	return Table{
		Rows:  slices.Concat(bootRows, personRows, endRows, beatRows, trafficRows, decideRows, peerRows, leaseRows, serveRows, outRows, syncRows),
		Entry: entries,
	}
}

// entries says what is done at every entry into a phase.
var entries = [phases][]Do{
	InStarting:    {DoCloseDoor, DoBoot},
	InOff:         {NoteDisabled},
	InGate:        {DoAskPeer, DoAskRegister, TimeRetryStart},
	InStandby:     {NoteNoMiss, TimeBeatGood},
	InSuspect:     {TimeBeatBad},
	InDeciding:    {TimeBeatBad, TimeHoldStart},
	InLooking:     {DoLookPeer},
	InFencing:     {DoFence},
	InHeld:        {TimeBeatBad, TimeRestStart},
	InWaiting:     {DoAskStepDown, DoAskRegister, TimeRetryStart, TimeWaitStart},
	InTaking:      {NoteAttempt, DoTakeLease},
	InPromoting:   {NoteEpoch, DoCancelSync, NoteTry, DoStartApp},
	InRecording:   {DoRecordServed, TimeRetryStart},
	InActive:      {NoteActive, NoteNoMiss, DoOpenDoor, DoTell, DoNotify, TimeBeatGood},
	InDemoting:    {DoCloseDoor, DoStopApp, TimeStopStart},
	OutSuperseded: {NoteOut, DoNotify},
	OutIsolated:   {NoteOut, DoNotify, DoAskRegister, TimeRetryStart},
	OutAppFailed:  {NoteOut, DoNotify, DoAskRegister, DoLookPeer, TimeRetryStart},
	OutYielded:    {NoteOut, DoNotify, DoAskRegister, DoLookPeer, TimeRetryStart},
	OutWentBack:   {NoteOut, DoNotify},
}

// bootRows: what the engine does first, and what a node that was Active asks
// before it may be so again.
var bootRows = []Row{
	{only(InStarting), on(OnBoot, OnCommitDone), when(IfCommit), ToStay, do(DoCloseDoor, DoFinishCommit), nil, "a copy that began to go live is finished before anything else"},
	{only(InStarting), on(OnBoot, OnCommitDone), when(Not|IfCommit, Not|IfEnabled, IfAlone), To(InOff), do(DoStartApp, DoOpenDoor), nil, "disabled: it serves like a stand-alone server, for it was Active or never had a role"},
	{only(InStarting), on(OnBoot, OnCommitDone), when(Not|IfCommit, Not|IfEnabled, Not|IfAlone), To(InOff), do(DoCloseDoor), nil, "disabled: what stood by does not attract clients"},
	{only(InStarting), on(OnBoot, OnCommitDone), when(Not|IfCommit, IfEnabled, IfOut), To(InDemoting), do(AfterOut), nil, "what was against it is still so: a restart is no decision"},
	{only(InStarting), on(OnBoot, OnCommitDone), when(Not|IfCommit, IfEnabled, Not|IfOut, Not|IfReturning), To(InDemoting), do(AfterStandby), nil, "Node Status is Standby; its application does not run"},
	{only(InStarting), on(OnBoot, OnCommitDone), when(Not|IfCommit, IfEnabled, Not|IfOut, IfReturning, IfSafe), To(InDemoting), do(AfterGate), nil, "a restarted engine stops the application and gives up its old lease before it asks for a new one"},
	{only(InStarting), on(OnBoot, OnCommitDone), when(Not|IfCommit, IfEnabled, Not|IfOut, IfReturning, Not|IfSafe), To(InGate), do(DoCloseDoor), nil, "was Active: asks the peer first, for the peer may have been promoted meanwhile"},
	{except(only(InStarting)), on(OnBoot), nil, ToStay, nil, nil, "it is running already"},
	{except(only(InStarting), only(InWaiting), counting), on(OnCommitDone), nil, ToStay, nil, nil, "noted"},

	{only(InGate), on(OnPeerSays), when(Not|IfSafe, IfSuperseded), To(InDemoting), do(AfterSuperseded), nil, "Table 1, third row: the Primary is up again, and the peer has served since"},
	{only(InGate), on(OnPeerSays), when(Not|IfSafe, Not|IfSuperseded, IfPeerComing), ToStay, nil, nil, "the peer is about to be Active; asks again"},
	{only(InGate), on(OnPeerSays), when(Not|IfSafe, Not|IfSuperseded, Not|IfPeerComing), To(InPromoting), do(NoteBack, NoteReturns), nil, "the peer answers and has not served since: Active again"},
	{only(InGate), on(OnPeerSilent), when(Not|IfSafe, IfLastHere), To(InPromoting), do(NoteBack, NoteReturns), nil, "the peer is down and this node served last, as far as it knows. Two nodes alone cannot know more"},
	{only(InGate), on(OnPeerSilent), when(Not|IfSafe, Not|IfLastHere), To(InDemoting), do(AfterSuperseded), nil, "the peer is down, but it has served since this node did"},
	{only(InGate), on(OnPeerSilent), when(IfSafe), ToStay, nil, nil, "the register decides"},
	{only(InGate), on(OnPeerSays), when(IfSafe, IfSuperseded), To(OutSuperseded), nil, nil, "the peer has served since"},
	{only(InGate), on(OnPeerSays), when(IfSafe, Not|IfSuperseded), ToStay, nil, nil, "the register decides"},
	{only(InGate), on(OnRegisterRead), when(IfWentBack), To(OutWentBack), nil, nil, "a register that forgets may grant an epoch twice"},
	{only(InGate), on(OnRegisterRead), when(Not|IfWentBack, IfSuperseded), To(OutSuperseded), nil, nil, "the register's record: the peer has served since"},
	{only(InGate), on(OnRegisterRead), when(Not|IfWentBack, Not|IfSuperseded, IfKeyHeld), ToStay, nil, nil, "somebody has the lease; perhaps it is this node's own of the last run"},
	{only(InGate), on(OnRegisterRead), when(Not|IfWentBack, Not|IfSuperseded, Not|IfKeyHeld), To(InTaking), do(NoteBack, NoteReturns), nil, "nobody has the lease and nobody else has served since: Active again, by a new lease"},
	{only(InGate), on(OnRetry), nil, ToStay, do(DoAskPeer, DoAskRegister, TimeRetryStart), nil, "asks again"},
}

// personRows: what a person says.
var personRows = []Row{
	{only(InOff), on(OnEnable), when(IfFlipped), ToStay, do(DoRefuse), nil, "its Mode was set to Primary while disabled, and it has no current data: failover mode secondary first"},
	{only(InOff), on(OnEnable), when(Not | IfFlipped), To(InStarting), do(NoteEnabled), nil, "the boot gate, as after a start; StartTime counts from now"},
	{except(only(InOff)), on(OnEnable), nil, ToStay, nil, nil, "it is enabled already"},
	{only(InOff), on(OnDisable), nil, ToStay, nil, nil, "it is disabled already"},
	{slices.Concat(standing, out), on(OnDisable), nil, To(InOff), nil, nil, "no heartbeat, no schedule; a running sync ends by itself. The door stays closed"},
	{only(InActive), on(OnDisable), when(Not | IfSafe), To(InOff), nil, nil, "it serves on, like a stand-alone server"},
	{only(InActive, InWaiting, InTaking, InPromoting, InRecording, InGate), on(OnDisable), when(IfSafe), ToStay, do(DoRefuse), nil, "it holds the lease or waits for it: failover mode secondary first"},
	{only(InWaiting, InTaking, InPromoting, InRecording, InGate), on(OnDisable), when(Not | IfSafe), ToStay, do(DoLater), nil, "on its way; again when it has arrived"},
	{only(InStarting, InDemoting, InFencing), on(OnDisable, OnModeSecondary), nil, ToStay, do(DoLater), nil, "on its way; again when it has arrived"},
	{only(InStarting, InDemoting), on(OnModePrimary), nil, ToStay, do(DoLater), nil, "on its way; again when it has arrived"},

	{only(InOff), on(OnModePrimary), nil, ToStay, do(NoteShowPrimary), nil, "disabled: only what is shown; downloads are allowed (software upgrade procedures, 4)"},
	{only(InOff), on(OnModeSecondary), nil, ToStay, do(NoteShowStandby), nil, "disabled: only what is shown (software upgrade procedures, 4)"},
	{slices.Concat(standing, only(InFencing, InGate), only(OutSuperseded), trying), on(OnModePrimary), nil, To(InWaiting), do(NoteBack, NoteAsked, NoteWait), nil, "not limited by any other command or state (Table 5); asks the peer to step down"},
	{only(OutWentBack), on(OnModePrimary), nil, ToStay, do(DoRaiseRegister), nil, "a person vouches for this node: first the register goes above every known epoch"},
	{only(InWaiting), on(OnModePrimary), nil, ToStay, do(NoteWait, DoAskStepDown, DoAskRegister), nil, "waits anew"},
	{slices.Concat(only(InTaking), promoting), on(OnModePrimary), nil, ToStay, do(NoteAsked), nil, "is about to be so"},
	{only(InActive), on(OnModePrimary), nil, ToStay, nil, nil, "it is so; the command may be given again (Table 5)"},
	{standing, on(OnModeSecondary), nil, ToStay, do(NoteUnplanned), nil, "it is so; the schedule stays stopped (Table 5)"},
	{slices.Concat(only(InActive, InWaiting, InTaking, InGate), promoting, out), on(OnModeSecondary), nil, To(InDemoting), do(NoteUnplanned, AfterStandby), nil, "Standby, from wherever it was; the schedule stays stopped (Table 5)"},
	{except(), on(OnBlock), nil, ToStay, nil, nil, "noted: nothing by itself from now on"},
	{except(), on(OnUnblock), nil, ToStay, nil, nil, "noted"},
	{except(), on(OnSaved), nil, ToStay, nil, nil, "noted: with High Availability enabled the schedule runs from now on (HA configuration window, StartTime)"},
}

// endRows: the engine is told to end. The service manager or the engine's own
// supervisor would stop the application of profile safe in any case.
var endRows = []Row{
	{except(), on(OnEnd), when(Not | IfSafe), ToStay, nil, nil, "the application is left as it is"},
	{slices.Concat(running, only(InTaking)), on(OnEnd), when(IfSafe), To(InDemoting), do(AfterEnded), nil, "the application stops, then the lease is given up: nobody has to wait for it to run out"},
	{only(InDemoting), on(OnEnd), when(IfSafe), ToStay, do(AfterEnded), nil, "the application is stopping already"},
	{except(running, only(InTaking, InDemoting)), on(OnEnd), when(IfSafe), ToStay, nil, nil, "it has no lease, and its application does not run"},
	{only(InEnded), on(OnDisable, OnModePrimary, OnModeSecondary), nil, ToStay, do(DoRefuse), nil, "the engine ends"},
}

// syncRows: the gates of replication. The data path itself is elsewhere.
var syncRows = []Row{
	{only(InStandby, InSuspect, InHeld), on(OnSyncDue), when(IfBlocked), ToStay, nil, nil, "paused"},
	{only(InStandby, InSuspect, InHeld), on(OnSyncDue), when(Not|IfBlocked, Not|IfScheduled), ToStay, nil, nil, "failover mode secondary has stopped the schedule; the portal starts it"},
	{only(InStandby, InSuspect, InHeld), on(OnSyncDue), when(Not|IfBlocked, IfScheduled, IfSyncing), ToStay, do(DoSkipSync), nil, "syncs do not overlap (HA best practice recommendations)"},
	{only(InStandby, InSuspect, InHeld), on(OnSyncDue), when(Not|IfBlocked, IfScheduled, Not|IfSyncing), ToStay, do(NoteSync, DoRunSync), nil, "a Standby replicates"},
	{only(InStandby, InSuspect, InHeld), on(OnSyncAsked), when(IfSyncing), ToStay, do(DoRefuse), nil, "a sync runs already"},
	{only(InStandby, InSuspect, InHeld), on(OnSyncAsked), when(Not | IfSyncing), ToStay, do(NoteSync, DoRunSync), nil, "Run Sync Now"},
	{except(only(InStandby, InSuspect, InHeld)), on(OnSyncDue), nil, ToStay, nil, nil, "only a Standby replicates (HA configuration window, Node Status)"},
	{except(only(InStandby, InSuspect, InHeld)), on(OnSyncAsked), nil, ToStay, do(DoRefuse), nil, "only a Standby replicates; a system in Primary mode does not (Table 5)"},
	{except(), on(OnSyncEnded), nil, ToStay, nil, nil, "noted"},
	{only(InStandby, InSuspect, InHeld), on(OnCommitAsked), when(IfOlderSource), ToStay, do(DoDenyCommit), nil, "the copy comes from a node that served before the present one"},
	{only(InStandby, InSuspect, InHeld), on(OnCommitAsked), when(Not | IfOlderSource), ToStay, do(NoteCommit, DoAllowCommit), nil, "a Standby takes the copy"},
	{except(only(InStandby, InSuspect, InHeld)), on(OnCommitAsked), nil, ToStay, do(DoDenyCommit), nil, "a copy never goes live under a node that serves or is about to"},
	{only(InDeciding), on(OnCommitDone), nil, ToStay, do(TimeHoldNow), nil, "the commit that was waited for is done"},
	{only(InStandby, InSuspect, InHeld), on(OnCommitDone), nil, ToStay, nil, nil, "noted"},
}

func on(events ...On) []On  { return events }
func when(c ...Cond) []Cond { return c }
func do(things ...Do) []Do  { return things }
