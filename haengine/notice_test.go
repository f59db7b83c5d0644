package haengine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/notify"
)

// pillar is a post that keeps what it is given.
type pillar struct {
	mu    sync.Mutex // guards the fields below
	told  []string   // event and severity, with "mail" if it is one
	texts []string
	tried []string
	err   error
}

func (p *pillar) Tell(m notify.Message, mail bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	said := fmt.Sprintf("%s %s", m.Severity, m.Event)
	if mail {
		said += " mail"
	}
	p.told, p.texts = append(p.told, said), append(p.texts, m.Text)
}

func (p *pillar) Try(_ context.Context, address string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tried = append(p.tried, address)
	return p.err
}

func (p *pillar) take() (told, texts []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	told, texts, p.told, p.texts = p.told, p.texts, nil, nil
	return told, texts
}

func (r *rig) wantTold(want ...string) []string {
	r.t.Helper()
	told, texts := r.post.take()
	if diff := cmp.Diff(want, told); diff != "" {
		r.t.Errorf("people were told:\n%s%s", diff, strings.Join(texts, "\n"))
	}
	return texts
}

func TestEachTransitionThatPeopleShouldKnowIsOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.peer.set(serving(1), nil)
		r.enable(ha.Secondary)
		r.saves(map[string]string{"email": "ha@example.com", "Notify On: Failure / This server becomes primary": "yes"})
		r.wantTold()
		r.peer.set(Sight{}, errDown)
		time.Sleep(70 * time.Second)
		r.wantTold("alarm failure-detected mail")
		r.peer.set(serving(1), nil)
		time.Sleep(20 * time.Second)
		r.wantTold("info peer-well mail")
		r.saves(map[string]string{"Notify On: Failure / This server becomes primary": "no"})
		r.peer.set(Sight{}, errDown)
		time.Sleep(3 * time.Minute)
		texts := r.wantTold("alarm failure-detected", "warning becomes-primary")
		if len(texts) == 2 && !strings.Contains(texts[1], "core2: this server becomes primary; it is Active at epoch 2") || !strings.Contains(texts[1], "What it may cost: no dataset is configured") {
			t.Errorf("the promotion is told as %q", texts)
		}
		r.peer.set(serving(5), nil)
		time.Sleep(time.Minute)
		r.wantTold("alarm superseded")
	})
}

func TestKeepInStandbyStillTellsPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.peer.set(serving(1), nil)
		r.enable(ha.Secondary)
		r.saves(map[string]string{"email": "ha@example.com", "Notify On: Failure / This server becomes primary": "yes", "If Failure Detected": "Keep in Standby"})
		r.peer.set(Sight{}, errDown)
		time.Sleep(10 * time.Minute)
		r.wantTold("alarm failure-detected mail", "alarm stays-standby mail")
	})
}

func TestAStartThatFailsIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.peer.set(serving(1), nil)
		r.enable(ha.Secondary)
		r.app.stuck = true
		r.peer.set(Sight{}, errDown)
		time.Sleep(90 * time.Second)
		r.wantTold("alarm failure-detected", "alarm start-failed")
	})
}

func TestSyncsAreToldAsTheSettingsSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		end := func(result string) {
			if _, err := r.run(t.Context(), func() Outcome { r.synced(nodeapi.Sync{From: "core1", Result: result}); return Outcome{} }); err != nil {
				t.Fatal(err)
			}
		}
		r.saves(map[string]string{"email": "ha@example.com", "Notify On: Sync Completion": "yes"})
		end("Success")
		end("Failed: the disk is full")
		r.wantTold("info sync-completed mail", "alarm sync-failed")
		r.saves(map[string]string{"Notify On: Sync Completion": "no", "Notify On: Failure / This server becomes primary": "yes"})
		end("Success")
		end("Failed: the disk is full")
		r.wantTold("info sync-completed", "alarm sync-failed mail")
		r.saves(map[string]string{"email": ""})
		end("Failed: the disk is full")
		r.wantTold("alarm sync-failed")
	})
}

func TestTheTestButtonSaysWhatBecameOfTheMail(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	refused := func(says string) {
		t.Helper()
		_, err := d.NotifyTest(t.Context())
		var r *nodeapi.Refused
		if !errors.As(err, &r) || r.Code != 409 || !strings.Contains(r.Why, says) || r.Do == "" {
			t.Errorf("got %v, want a refusal that says %s", err, says)
		}
	}
	refused("no e-mail address is set")
	if _, err := d.Save(t.Context(), map[string]string{"Email": "ha@example.com"}, ""); err != nil {
		t.Fatal(err)
	}
	if to, err := d.NotifyTest(t.Context()); err != nil || to != "ha@example.com" {
		t.Errorf("got %q, %v", to, err)
	}
	d.post.err = errors.New("mail by localhost:25: connection refused")
	refused("connection refused")
	if diff := cmp.Diff([]string{"ha@example.com", "ha@example.com"}, d.post.tried); diff != "" {
		t.Error(diff)
	}
	d.e.Post = nil
	refused("no mail server is configured")
}
