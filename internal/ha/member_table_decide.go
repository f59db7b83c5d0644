package ha

// beatRows: the heartbeat (EPMM guide, Setting up the HA workflow, Step 6, Fail
// Over Controls). Only a node that stands by has one.
var beatRows = []Row{
	{only(InStandby), on(OnBeatDue), nil, ToStay, do(DoBeat), nil, "Heartbeat Interval"},
	{only(InSuspect, InDeciding, InHeld), on(OnBeatDue), nil, ToStay, do(DoBeat), nil, "Re-check interval"},
	{only(InActive), on(OnBeatDue), nil, ToStay, do(DoTell, TimeBeatGood), nil, "lets the peer know at which epoch it serves"},
	{except(counting, only(InActive)), on(OnBeatDue), nil, ToStay, nil, nil, "no heartbeat here"},

	{only(InStandby), on(OnBeatGood), nil, ToStay, do(NoteNoMiss, TimeBeatGood), nil, "the peer is well"},
	{only(InSuspect, InDeciding, InLooking, InHeld), on(OnBeatGood), nil, To(InStandby), nil, do(DoNotify), "the peer is well again"},
	{only(InFencing, InTaking), on(OnBeatGood), nil, ToStay, do(NoteWell), nil, "too late to turn back, but if the promotion fails the count begins anew"},
	{except(counting, only(InLooking, InFencing, InTaking)), on(OnBeatGood), nil, ToStay, nil, nil, "the answer to a heartbeat from before; what came after decides"},

	{only(InStandby), on(OnBeatBad), when(Not | IfLastMiss), To(InSuspect), do(NoteMiss), nil, "the first failure: next try after the Re-check interval"},
	{only(InStandby), on(OnBeatBad), when(IfLastMiss), To(InDeciding), do(NoteMiss), do(DoNotify), "one failure is enough by its settings"},
	{only(InSuspect), on(OnBeatBad), when(Not | IfLastMiss), ToStay, do(NoteMiss, TimeBeatBad), nil, "one more failure"},
	{only(InSuspect), on(OnBeatBad), when(IfLastMiss), To(InDeciding), do(NoteMiss), do(DoNotify), "Consecutive Heartbeat failures before failover: the failover process begins"},
	{only(InDeciding), on(OnBeatBad), nil, ToStay, do(NoteMiss, TimeBeatBad), nil, "still down"},
	{only(InHeld), on(OnBeatBad), when(IfResting), ToStay, do(NoteMiss, TimeBeatBad), nil, "still down; it rests after a failed start, so that the peer may try"},
	{only(InHeld), on(OnBeatBad), when(Not|IfResting, IfKeep), ToStay, do(NoteMiss, TimeBeatBad), nil, "If Failure Detected: Keep in Standby"},
	{only(InHeld), on(OnBeatBad), when(Not|IfResting, Not|IfKeep, Not|IfClear), ToStay, do(NoteMiss, TimeBeatBad), nil, "a guard is against it"},
	{only(InHeld), on(OnBeatBad), when(Not|IfResting, Not|IfKeep, IfClear, Not|IfLastMiss), ToStay, do(NoteMiss, TimeBeatBad), nil, "a person's wait ended here, and too few have failed yet"},
	{only(InHeld), on(OnBeatBad), when(Not|IfResting, Not|IfKeep, IfClear, IfLastMiss, Not|IfSafe), To(InDeciding), do(NoteMiss), nil, "still down, and nothing is against it any more: tries again"},
	{only(InHeld), on(OnBeatBad), when(Not|IfResting, Not|IfKeep, IfClear, IfLastMiss, IfSafe, Not|IfWaited), To(InDeciding), do(NoteMiss), nil, "still down, and nothing is against it any more: tries again"},
	{only(InHeld), on(OnBeatBad), when(Not|IfResting, Not|IfKeep, IfClear, IfLastMiss, IfSafe, IfWaited, IfCommit), ToStay, do(NoteMiss, TimeBeatBad), nil, "a copy is going live; that is finished first"},
	{only(InHeld), on(OnBeatBad), when(Not|IfResting, Not|IfKeep, IfClear, IfLastMiss, IfSafe, IfWaited, Not|IfCommit, IfFence), To(InFencing), do(NoteMiss, NoteBack), nil, "still down: tries again, and traffic has had its time already"},
	{only(InHeld), on(OnBeatBad), when(Not|IfResting, Not|IfKeep, IfClear, IfLastMiss, IfSafe, IfWaited, Not|IfCommit, Not|IfFence), To(InTaking), do(NoteMiss, NoteBack), nil, "still down: tries again, and traffic has had its time already"},
	{except(counting), on(OnBeatBad), nil, ToStay, nil, nil, "the answer to a heartbeat from before; what came after decides"},

	{only(InStandby), on(OnTilt), nil, ToStay, do(NoteNoMiss, NoteTilt), nil, "what a late loop has measured does not count"},
	{only(InSuspect, InDeciding, InLooking, InHeld), on(OnTilt), nil, To(InStandby), do(NoteTilt), nil, "what a late loop has measured does not count: counts from the start"},
	{except(standing), on(OnTilt), nil, ToStay, nil, nil, "nothing is counted here; timers that are over have become events first"},
}

// trafficRows: the fronts have left the peer (docs/explanation/the-rule.md,
// rows 7 and 11) or the peer is asked to make room.
var trafficRows = []Row{
	{counting, on(OnTrafficCall), nil, ToStay, do(DoAskFronts), nil, "a remembered call does not count: asks every front now"},
	{except(counting), on(OnTrafficCall), nil, ToStay, nil, nil, "only who stands by can take over, and is not about to"},
	{counting, on(OnTrafficDecided), when(Not | IfCurrent), ToStay, nil, nil, "the fronts left an earlier epoch of the peer, not the present one"},
	{counting, on(OnTrafficDecided), when(IfCurrent, IfKeep), ToStay, nil, nil, "If Failure Detected: Keep in Standby"},
	{only(InStandby, InSuspect), on(OnTrafficDecided), when(IfCurrent, Not|IfKeep, Not|IfClear), ToStay, nil, nil, "a guard is against it"},
	{only(InStandby), on(OnTrafficDecided), when(IfCurrent, Not|IfKeep, IfClear, IfFailed), ToStay, nil, nil, "its last start failed and the peer is well: a person decides"},
	{only(InStandby), on(OnTrafficDecided), when(IfCurrent, Not|IfKeep, IfClear, Not|IfFailed), ToStay, do(NoteHanding, DoPassDecision), nil, "clients cannot reach the peer though this node can: the peer is to make room"},
	{only(InSuspect), on(OnTrafficDecided), when(IfCurrent, Not|IfKeep, IfClear), To(InDeciding), nil, do(DoNotify, TimeHoldNow), "traffic has left a peer that misses heartbeats: no need to count on"},
	{only(InDeciding), on(OnTrafficDecided), when(IfCurrent, Not|IfKeep), ToStay, do(TimeHoldNow), nil, "every front has decided: the hold ends early"},
	{only(InHeld), on(OnTrafficDecided), when(IfCurrent, Not|IfKeep, Not|IfClear), ToStay, nil, nil, "a guard is against it"},
	{only(InHeld), on(OnTrafficDecided), when(IfCurrent, Not|IfKeep, IfClear, IfResting), ToStay, nil, nil, "it rests after a failed start, so that the peer may try"},
	{only(InHeld), on(OnTrafficDecided), when(IfCurrent, Not|IfKeep, IfClear, Not|IfResting), To(InDeciding), nil, do(TimeHoldNow), "traffic is here: tries again"},
	{except(counting), on(OnTrafficDecided), nil, ToStay, nil, nil, "only who stands by can take over, and is not about to"},

	{counting, on(OnMajority), when(Not | IfElectable), ToStay, nil, nil, "the agents are back with the Primary; resume: manual, so a person decides"},
	{counting, on(OnMajority), when(IfElectable, IfKeep), ToStay, nil, nil, "If Failure Detected: Keep in Standby"},
	{counting, on(OnMajority), when(IfElectable, Not|IfKeep, Not|IfClear), ToStay, nil, nil, "a guard is against it"},
	{counting, on(OnMajority), when(IfElectable, Not|IfKeep, IfClear, IfResting), ToStay, nil, nil, "it rests after a failed start, so that the peer may try"},
	{counting, on(OnMajority), when(IfElectable, Not|IfKeep, IfClear, Not|IfResting), To(InWaiting), do(NoteBack, NoteWait), do(DoNotify), "more than half of the agents reach this node and not the peer, which is asked to step down"},
	{only(OutSuperseded), on(OnMajority), when(Not | IfResume), ToStay, nil, nil, "resume: manual, so a person decides"},
	{only(OutSuperseded), on(OnMajority), when(IfResume), To(InWaiting), do(NoteBack, NoteWait), do(DoNotify), "resume: client_majority: more than half of the agents are back, the peer is asked to step down"},
	{except(counting, only(OutSuperseded)), on(OnMajority), nil, ToStay, nil, nil, "it serves, or cannot"},

	{only(InActive), on(OnStepDown), when(Not | IfMeant), ToStay, do(DoTell), nil, "about an epoch that is over"},
	{only(InActive), on(OnStepDown), when(IfMeant, IfFirm), To(InDemoting), do(AfterYielded), do(DoNotify), "the peer will be Active: makes room"},
	{only(InActive), on(OnStepDown), when(IfMeant, Not|IfFirm, IfBlocked), ToStay, do(DoTell), nil, "paused: nothing by itself"},
	{only(InActive), on(OnStepDown), when(IfMeant, Not|IfFirm, Not|IfBlocked), To(InDemoting), do(AfterYielded), do(DoNotify), "no client reaches this node: makes room"},
	{except(only(InActive)), on(OnStepDown), nil, ToStay, do(DoTell), nil, "it does not serve"},
}

// decideRows: from DECIDING to the promotion.
var decideRows = []Row{
	{only(InDeciding), on(OnHoldOver), when(IfKeep), To(InHeld), nil, do(DoNotify), "If Failure Detected: Keep in Standby; it was notified"},
	{only(InDeciding), on(OnHoldOver), when(Not|IfKeep, Not|IfClear), To(InHeld), nil, do(DoNotify), "a guard is against it"},
	{only(InDeciding), on(OnHoldOver), when(Not|IfKeep, IfClear, IfCommit), ToStay, do(TimeHoldAgain), nil, "a copy is going live; that is finished first"},
	{only(InDeciding), on(OnHoldOver), when(Not|IfKeep, IfClear, Not|IfCommit, IfSafe, IfFence), To(InFencing), do(NoteBack, NoteWaited), nil, "the fence command first"},
	{only(InDeciding), on(OnHoldOver), when(Not|IfKeep, IfClear, Not|IfCommit, IfSafe, Not|IfFence), To(InTaking), do(NoteBack, NoteWaited), nil, "asks for the lease"},
	{only(InDeciding), on(OnHoldOver), when(Not|IfKeep, IfClear, Not|IfCommit, Not|IfSafe), To(InLooking), do(NoteBack), nil, "a last look: the peer may be back since the last heartbeat, and sees from now on that this node is coming"},
	{except(only(InDeciding)), on(OnHoldOver), nil, ToStay, nil, nil, "no hold runs here"},

	{only(InLooking), on(OnPeerSays), when(IfPeerWell), To(InStandby), nil, do(DoNotify), "the peer is well again"},
	{only(InLooking), on(OnPeerSays), when(Not|IfPeerWell, IfPeerReturns), To(InStandby), nil, do(DoNotify), "the peer is coming back: it goes first, and the count begins anew"},
	{only(InLooking), on(OnPeerSays), when(Not|IfPeerWell, Not|IfPeerReturns, Not|IfClear), To(InHeld), nil, do(DoNotify), "a guard is against it"},
	{only(InLooking), on(OnPeerSays), when(Not|IfPeerWell, Not|IfPeerReturns, IfClear, IfFence), To(InFencing), nil, nil, "the peer's engine answers though its application does not: the fence command first"},
	{only(InLooking), on(OnPeerSays), when(Not|IfPeerWell, Not|IfPeerReturns, IfClear, Not|IfFence), To(InWaiting), do(NoteWait), nil, "the peer's engine answers though its application does not: it is to stop that first"},
	{only(InLooking), on(OnPeerSilent), when(Not | IfClear), To(InHeld), nil, do(DoNotify), "a guard is against it"},
	{only(InLooking), on(OnPeerSilent), when(IfClear, IfFence), To(InFencing), nil, nil, "the fence command first"},
	{only(InLooking), on(OnPeerSilent), when(IfClear, Not|IfFence), To(InPromoting), nil, nil, "Table 1, second row: the Secondary is promoted"},

	{only(InFencing), on(OnFenced), when(IfSafe), To(InTaking), nil, nil, "the peer is off: asks for the lease"},
	{only(InFencing), on(OnFenced), when(Not | IfSafe), To(InPromoting), nil, nil, "the peer is off"},
	{only(InFencing), on(OnFenceFailed), nil, To(InHeld), do(NoteResting), do(DoNotify), "the peer may still run"},
	{except(only(InFencing)), on(OnFenced, OnFenceFailed), nil, ToStay, nil, nil, "no fence command was waited for"},

	{only(InWaiting), on(OnPeerSays), when(IfSafe), ToStay, nil, nil, "the register decides"},
	{only(InWaiting), on(OnPeerSays), when(Not|IfSafe, IfNewer), ToBack, nil, do(DoNotify), "a newer epoch: somebody was promoted after the person spoke, who may think again"},
	{only(InWaiting), on(OnPeerSays), when(Not|IfSafe, Not|IfNewer, IfPeerServes), ToStay, nil, nil, "the peer still serves"},
	{only(InWaiting), on(OnPeerSays), when(Not|IfSafe, Not|IfNewer, Not|IfPeerServes, IfPeerComing, IfAsked), ToStay, nil, nil, "the peer is about to be Active; then it can be asked to step down"},
	{only(InWaiting), on(OnPeerSays), when(Not|IfSafe, Not|IfNewer, Not|IfPeerServes, IfPeerComing, Not|IfAsked), ToBack, nil, nil, "the peer is about to be Active too, and no person has asked for this node"},
	{only(InWaiting), on(OnPeerSays), when(Not|IfSafe, Not|IfNewer, Not|IfPeerServes, Not|IfPeerComing, IfCommit), ToStay, nil, nil, "the commit first"},
	{only(InWaiting), on(OnPeerSays), when(Not|IfSafe, Not|IfNewer, Not|IfPeerServes, Not|IfPeerComing, Not|IfCommit), To(InPromoting), nil, nil, "the peer does not serve"},
	{only(InWaiting), on(OnPeerSilent, OnStopLate), when(IfSafe), ToStay, nil, nil, "the register decides"},
	{only(InWaiting), on(OnPeerSilent, OnStopLate), when(Not|IfSafe, IfCommit), ToStay, nil, nil, "the commit first"},
	{only(InWaiting), on(OnPeerSilent, OnStopLate), when(Not|IfSafe, Not|IfCommit), To(InPromoting), nil, nil, "not limited by any state (Table 5). Both may be Active in a partition: the prompt says so"},
	{only(InWaiting), on(OnCommitDone), when(IfSafe), ToStay, do(DoAskRegister), nil, "and now the lease"},
	{only(InWaiting), on(OnCommitDone), when(Not | IfSafe), ToStay, do(DoAskStepDown, TimeWaitStart), nil, "and now the peer"},
	{only(InWaiting), on(OnRetry), nil, ToStay, do(DoAskStepDown, DoAskRegister, TimeRetryStart), nil, "asks again"},
	{only(InWaiting), on(OnRegisterRead), when(IfWentBack), To(OutWentBack), nil, nil, "a register that forgets may grant an epoch twice"},
	{only(InWaiting), on(OnRegisterRead), when(Not|IfWentBack, IfNewer), ToBack, nil, do(DoNotify), "a newer epoch: somebody was promoted after the person spoke, who may think again"},
	{only(InWaiting), on(OnRegisterRead), when(Not|IfWentBack, Not|IfNewer, IfCommit), ToStay, nil, nil, "the commit first"},
	{only(InWaiting), on(OnRegisterRead), when(Not|IfWentBack, Not|IfNewer, Not|IfCommit, IfKeyHeld), ToStay, nil, nil, "never takes a lease that is held"},
	{only(InWaiting), on(OnRegisterRead), when(Not|IfWentBack, Not|IfNewer, Not|IfCommit, Not|IfKeyHeld), To(InTaking), nil, nil, "nobody has the lease"},
}

// peerRows: what the peer says, where nothing above has a row for it.
var peerRows = []Row{
	{standing, on(OnPeerAsks), nil, To(InStandby), do(NoteNoMiss), do(DoTell), "the peer is alive and wants to serve: the answer is a promise to count from the start"},
	{running, on(OnPeerAsks), when(IfHigher), To(InDemoting), do(AfterBackOrOut), do(DoTell), "the peer has served at a higher epoch"},
	{running, on(OnPeerAsks), when(Not | IfHigher), ToStay, do(DoTell), nil, "tells"},
	{except(standing, running), on(OnPeerAsks), nil, ToStay, do(DoTell), nil, "tells"},

	{only(InStandby, InSuspect), on(OnPeerSays), when(IfHanding, IfYielded), To(InDeciding), nil, do(TimeHoldNow), "the peer has made room: traffic is here already"},
	{only(InStandby, InSuspect), on(OnPeerSays), when(IfHanding, Not|IfYielded), ToStay, nil, nil, "not yet"},
	{only(InStandby, InSuspect), on(OnPeerSays), when(Not | IfHanding), ToStay, nil, nil, "noted"},
	{running, on(OnPeerSays), when(IfHigher), To(InDemoting), do(AfterBackOrOut), nil, "the peer has served at a higher epoch"},
	{running, on(OnPeerSays), when(Not | IfHigher), ToStay, nil, nil, "noted"},
	{only(InStarting, InOff, InDeciding, InFencing, InHeld, InTaking, InDemoting, InEnded, OutSuperseded, OutWentBack), on(OnPeerSays), nil, ToStay, nil, nil, "noted"},
	{except(only(InGate, InLooking, InWaiting), trying), on(OnPeerSilent), nil, ToStay, nil, nil, "nothing was asked"},
}
