package ha

import "slices"

// leaseRows: profile safe. The register is a store with leases, such as etcd.
var leaseRows = []Row{
	{only(InTaking), on(OnLeaseGranted), when(Not | IfMine), ToStay, do(DoRevokeThat), nil, "an earlier request has arrived at last"},
	{only(InTaking), on(OnLeaseGranted), when(IfMine, Not|IfFresh), ToBack, do(DoRevoke), nil, "the answer took so long that too little is left of the lease"},
	{only(InTaking), on(OnLeaseGranted), when(IfMine, IfFresh, IfWentBack), To(OutWentBack), do(DoRevoke), nil, "a register that forgets grants an epoch that was there before"},
	{only(InTaking), on(OnLeaseGranted), when(IfMine, IfFresh, Not|IfWentBack, IfOvertaken), To(OutSuperseded), do(DoRevoke), nil, "the peer has served meanwhile"},
	{only(InTaking), on(OnLeaseGranted), when(IfMine, IfFresh, Not|IfWentBack, Not|IfOvertaken), To(InPromoting), do(NoteGrant), do(TimeLease), "the lease is here; its epoch is the key's create revision"},
	{slices.Concat(running, only(InDemoting)), on(OnLeaseGranted), when(IfMine), ToStay, nil, nil, "known"},
	{slices.Concat(running, only(InDemoting)), on(OnLeaseGranted), when(Not | IfMine), ToStay, do(DoRevokeThat), nil, "an earlier request has arrived at last"},
	{except(running, only(InTaking, InDemoting)), on(OnLeaseGranted), nil, ToStay, do(DoRevokeThat), nil, "it was wanted, and is not any more"},

	{only(InTaking), on(OnLeaseRefused, OnLeaseUnanswered), when(Not | IfMine), ToStay, nil, nil, "about an earlier request"},
	{only(InTaking), on(OnLeaseRefused, OnLeaseUnanswered), when(IfMine, IfAsked), To(InWaiting), do(DoRevoke), nil, "a person wants it: waits for the lease"},
	{only(InTaking), on(OnLeaseRefused), when(IfMine, Not|IfAsked), ToBack, do(DoRevoke), do(DoAwaitKey), "the peer has the lease: watches it from now on"},
	{only(InTaking), on(OnLeaseUnanswered), when(IfMine, Not|IfAsked), ToBack, do(DoRevoke), nil, "nobody can say who has the lease"},
	{except(only(InTaking)), on(OnLeaseRefused, OnLeaseUnanswered), nil, ToStay, nil, nil, "it is not waited for any more"},

	{running, on(OnRenewDue), nil, ToStay, do(DoRenew, TimeRenewAgain), nil, "a third of the lease has passed, or the last try was not answered"},
	{only(InDemoting), on(OnRenewDue), nil, ToStay, do(DoRenew, TimeRenewAgain), nil, "as long as the application has not stopped, nobody else may start it"},
	{except(running, only(InDemoting)), on(OnRenewDue), nil, ToStay, nil, nil, "it has no lease"},
	{running, on(OnLeaseRenewed), when(Not | IfMine), ToStay, nil, nil, "about an earlier lease"},
	{promoting, on(OnLeaseRenewed), when(IfMine, IfWentBack), To(InDemoting), do(AfterWentBack), nil, "the register has forgotten"},
	{only(InActive), on(OnLeaseRenewed), when(IfMine, IfWentBack), To(InDemoting), do(AfterWentBack), nil, "the register has forgotten"},
	{running, on(OnLeaseRenewed), when(IfMine, Not|IfWentBack), ToStay, do(TimeLease), nil, "counts from the sending, for the answer says nothing about how long it took"},
	{except(running), on(OnLeaseRenewed), nil, ToStay, nil, nil, "it is not waited for any more"},
	{running, on(OnLeaseGone), when(Not | IfMine), ToStay, nil, nil, "about an earlier lease"},
	{promoting, on(OnLeaseGone), when(IfMine), To(InDemoting), do(AfterBack), nil, "lost before it served: a failed start, not isolation"},
	{only(InActive), on(OnLeaseGone), when(IfMine), To(InDemoting), do(AfterIsolated), nil, "somebody else may have the lease"},
	{except(running), on(OnLeaseGone), nil, ToStay, nil, nil, "it is not waited for any more"},
	{promoting, on(OnDeadline), nil, To(InDemoting), do(AfterBack), nil, "lost before it served: a failed start, not isolation"},
	{only(InActive), on(OnDeadline), when(Not | IfContinue), To(InDemoting), do(AfterIsolated), nil, "stops while the rest of the lease is enough for it"},
	{only(InActive), on(OnDeadline), when(IfContinue), ToStay, do(DoNotify), nil, "on_register_loss: continue. Two may serve now"},
	{except(running), on(OnDeadline), nil, ToStay, nil, nil, "the application is stopping or does not run"},

	{only(InRecording), on(OnServedWritten), when(IfMine), To(InActive), nil, nil, "everybody can know now who served last"},
	{only(InRecording), on(OnServedRefused), when(IfMine), To(InDemoting), do(AfterBack), nil, "the lease is gone"},
	{only(InRecording), on(OnServedWritten, OnServedRefused), when(Not | IfMine), ToStay, nil, nil, "about an earlier epoch"},
	{except(only(InRecording)), on(OnServedWritten, OnServedRefused), nil, ToStay, nil, nil, "it is not waited for any more"},
	{only(InRecording), on(OnRetry), nil, ToStay, do(DoRecordServed, TimeRetryStart), nil, "not answered; again"},

	{except(only(InGate, InWaiting), trying), on(OnRegisterRead), nil, ToStay, nil, nil, "noted"},
	{only(InHeld), on(OnKeyGone), when(IfResting), ToStay, nil, nil, "it rests after a failed start"},
	{only(InHeld), on(OnKeyGone), when(Not|IfResting, IfKeep), ToStay, nil, nil, "If Failure Detected: Keep in Standby"},
	{only(InHeld), on(OnKeyGone), when(Not|IfResting, Not|IfKeep, Not|IfClear), ToStay, nil, nil, "a guard is against it"},
	{only(InHeld), on(OnKeyGone), when(Not|IfResting, Not|IfKeep, IfClear, Not|IfCounted), ToStay, nil, nil, "too few heartbeats have failed yet"},
	{only(InHeld), on(OnKeyGone), when(Not|IfResting, Not|IfKeep, IfClear, IfCounted, Not|IfWaited), ToStay, nil, nil, "traffic has not had its time yet"},
	{only(InHeld), on(OnKeyGone), when(Not|IfResting, Not|IfKeep, IfClear, IfCounted, IfWaited, IfCommit), ToStay, nil, nil, "a copy is going live; after the next failed heartbeat"},
	{only(InHeld), on(OnKeyGone), when(Not|IfResting, Not|IfKeep, IfClear, IfCounted, IfWaited, Not|IfCommit, IfFence), To(InFencing), do(NoteBack), nil, "nobody has the lease any more: the fence command first"},
	{only(InHeld), on(OnKeyGone), when(Not|IfResting, Not|IfKeep, IfClear, IfCounted, IfWaited, Not|IfCommit, Not|IfFence), To(InTaking), do(NoteBack), nil, "nobody has the lease any more: asks for it at once"},
	{except(only(InHeld)), on(OnKeyGone), nil, ToStay, nil, nil, "it is not waited for any more"},
	{except(trying), on(OnRegisterSilent), nil, ToStay, nil, nil, "asks again by itself"},
	{only(OutWentBack), on(OnRegisterRaised), nil, To(InWaiting), do(NoteBack, NoteAsked, NoteWait), nil, "the next epoch will be above all others"},
	{except(only(OutWentBack)), on(OnRegisterRaised), nil, ToStay, nil, nil, "noted"},
}

// serveRows: the application.
var serveRows = []Row{
	{only(InPromoting), on(OnAppUp), when(IfHigher), To(InDemoting), do(AfterBack), nil, "the peer has served at a higher epoch while the application started"},
	{only(InPromoting), on(OnAppUp), when(Not|IfHigher, IfSafe), To(InRecording), nil, nil, "the register notes it before the door opens"},
	{only(InPromoting), on(OnAppUp), when(Not|IfHigher, Not|IfSafe), To(InActive), nil, nil, "Table 1, second row: Active, starts responding to requests"},
	{except(only(InPromoting)), on(OnAppUp), nil, ToStay, nil, nil, "noted"},
	{only(InPromoting), on(OnAppStartFailed, OnAppStopped, OnAppBad), when(IfTries), ToStay, do(NoteTry, DoStartApp), nil, "once more"},
	{only(InPromoting), on(OnAppStartFailed, OnAppStopped, OnAppBad), when(Not | IfTries), To(InDemoting), do(AfterFailed), do(DoNotify), "does not start: the peer, if it is well, is not superseded by that"},
	{only(InRecording), on(OnAppStartFailed, OnAppStopped, OnAppBad), nil, To(InDemoting), do(AfterFailed), do(DoNotify), "started and failed"},
	{except(promoting), on(OnAppStartFailed), nil, ToStay, nil, nil, "no start was waited for"},

	{only(InActive), on(OnAppBad, OnAppStopped), when(IfFails), ToStay, nil, nil, "still"},
	{only(InActive), on(OnAppBad, OnAppStopped), when(Not | IfFails), ToStay, do(TimeAppStart), nil, "the pages say not OK at once; the service manager restarts it"},
	{only(InActive), on(OnAppGood), nil, ToStay, do(TimeAppStop), nil, "well again"},
	{only(InActive), on(OnAppFailed), when(Not | IfSafe), ToStay, do(DoNotify), nil, "the peer's heartbeats fail too, and it decides"},
	{only(InActive), on(OnAppFailed), when(IfSafe, IfBlocked), ToStay, do(DoNotify, TimeAppStart), nil, "paused: nothing by itself"},
	{only(InActive), on(OnAppFailed), when(IfSafe, Not|IfBlocked), To(InDemoting), do(AfterAppFailed), nil, "gives up the lease, which otherwise nobody else could have"},
	{except(promoting, only(InActive)), on(OnAppBad), nil, ToStay, nil, nil, "it does not serve"},
	{except(only(InActive)), on(OnAppGood), nil, ToStay, nil, nil, "noted"},
	{except(only(InActive)), on(OnAppFailed), nil, ToStay, nil, nil, "it does not serve"},

	{only(InDemoting), on(OnAppStopped), nil, ToAfter, do(DoRevoke), do(DoTell), "the application has stopped: nothing is in the way of the peer"},
	{only(InDemoting), on(OnStopLate), nil, ToStay, do(DoKillApp, TimeStopStart), nil, "stop timeout"},
	{except(promoting, only(InActive, InDemoting)), on(OnAppStopped), nil, ToStay, nil, nil, "as it should be"},
	{except(only(InDemoting, InWaiting)), on(OnStopLate), nil, ToStay, nil, nil, "nothing is stopping"},
}

// outRows: the ways back from NotAvailable that need no person.
var outRows = []Row{
	{only(OutIsolated), on(OnRegisterRead), when(IfWentBack), To(OutWentBack), nil, nil, "a register that forgets may grant an epoch twice"},
	{only(OutIsolated), on(OnRegisterRead), when(Not|IfWentBack, IfSuperseded), To(OutSuperseded), nil, nil, "the peer has served since"},
	{only(OutIsolated), on(OnRegisterRead), when(Not|IfWentBack, Not|IfSuperseded, IfKeyHeld), ToStay, do(DoRevoke), nil, "the peer has the lease, or it is this node's own old one"},
	{only(OutIsolated), on(OnRegisterRead), when(Not|IfWentBack, Not|IfSuperseded, Not|IfKeyHeld, IfBlocked), ToStay, nil, nil, "paused: nothing by itself"},
	{only(OutIsolated), on(OnRegisterRead), when(Not|IfWentBack, Not|IfSuperseded, Not|IfKeyHeld, Not|IfBlocked), To(InTaking), do(NoteBack, NoteReturns), nil, "nobody has served since: Active again, by a new lease"},
	{only(OutAppFailed, OutYielded), on(OnRegisterRead), when(IfWentBack), To(OutWentBack), nil, nil, "a register that forgets may grant an epoch twice"},
	{only(OutAppFailed, OutYielded), on(OnRegisterRead), when(Not|IfWentBack, IfSuperseded), To(OutSuperseded), nil, nil, "the peer has served since"},
	{only(OutAppFailed, OutYielded), on(OnRegisterRead), when(Not|IfWentBack, Not|IfSuperseded, IfKeyHeld), ToStay, do(TimeAbsentStop), nil, "the peer has the lease"},
	{only(OutAppFailed, OutYielded), on(OnRegisterRead), when(Not|IfWentBack, Not|IfSuperseded, Not|IfKeyHeld, IfWaits), ToStay, nil, nil, "still nobody"},
	{only(OutAppFailed, OutYielded), on(OnRegisterRead), when(Not|IfWentBack, Not|IfSuperseded, Not|IfKeyHeld, Not|IfWaits), ToStay, do(TimeAbsentStart), nil, "nobody has the lease: lets the peer go first for promotion_time"},
	{trying, on(OnRegisterSilent), nil, ToStay, do(TimeAbsentStop), nil, "whether somebody has the lease cannot be seen"},

	{only(OutYielded), on(OnPeerSays), when(IfSuperseded), To(OutSuperseded), nil, nil, "the peer has served since"},
	{only(OutYielded), on(OnPeerSays), when(Not|IfSuperseded, IfSafe), ToStay, nil, nil, "the register decides"},
	{only(OutYielded), on(OnPeerSays), when(Not|IfSuperseded, Not|IfSafe, IfPeerComing), ToStay, do(TimeAbsentStop), nil, "the peer is about to be Active"},
	{only(OutYielded), on(OnPeerSays), when(Not|IfSuperseded, Not|IfSafe, Not|IfPeerComing, IfWaits), ToStay, nil, nil, "still nobody"},
	{only(OutYielded), on(OnPeerSays), when(Not|IfSuperseded, Not|IfSafe, Not|IfPeerComing, Not|IfWaits), ToStay, do(TimeAbsentStart), nil, "lets the peer go first for promotion_time"},
	{only(OutYielded), on(OnPeerSilent), nil, ToStay, do(TimeAbsentStop), nil, "whether the peer serves cannot be seen"},
	{only(OutIsolated, OutAppFailed), on(OnPeerSays), when(IfSuperseded), To(OutSuperseded), nil, nil, "the peer has served since"},
	{only(OutIsolated, OutAppFailed), on(OnPeerSays), when(Not | IfSuperseded), ToStay, nil, nil, "noted"},
	{only(OutIsolated, OutAppFailed), on(OnPeerSilent), nil, ToStay, nil, nil, "nothing was asked that it waits for"},

	{only(OutAppFailed, OutYielded), on(OnAbsent), when(IfBlocked), ToStay, nil, nil, "paused: nothing by itself"},
	{only(OutAppFailed, OutYielded), on(OnAbsent), when(Not|IfBlocked, IfSafe), To(InTaking), do(NoteBack, NoteReturns), nil, "nobody took over: Active again, by a new lease"},
	{only(OutYielded), on(OnAbsent), when(Not|IfBlocked, Not|IfSafe), To(InGate), nil, nil, "nobody took over: asks the peer whether it may"},
	{only(OutAppFailed), on(OnAbsent), when(Not|IfBlocked, Not|IfSafe), ToStay, nil, nil, "the peer or a person decides"},
	{except(only(OutAppFailed, OutYielded)), on(OnAbsent), nil, ToStay, nil, nil, "nobody is waited for"},

	{trying, on(OnRetry), nil, ToStay, do(DoAskRegister, DoLookPeer, TimeRetryStart), nil, "looks again"},
	{only(InHeld), on(OnRetry), nil, ToStay, do(NoteRested), nil, "has rested: the next failed heartbeat tries again"},
	{except(only(InGate, InHeld, InWaiting, InRecording), trying), on(OnRetry), nil, ToStay, nil, nil, "nothing was asked"},
}
