package haengine

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// agentsFile holds the names of the agents that were ever heard.
const agentsFile = "agents.json"

// mostAgents is how many agents a node knows at the most.
const mostAgents = 20_000

// agents is the panel of a node, which the engine's loop owns. What each agent
// said last is not kept: after a restart the counting begins anew.
type agents struct {
	panel   *ha.Panel
	names   []string
	counted ha.Instant // when they were counted last
}

// recallAgents reads the agents that were heard before.
func (e *Engine) recallAgents() error {
	_, err := load(filepath.Join(e.Dir, agentsFile), &e.agents.names)
	e.agents.panel = ha.NewPanel(e.agents.names)
	return err
}

// panel gives how agents elect a node.
func (s Settings) panel() ha.PanelRule {
	return ha.PanelRule{Interval: s.AgentInterval, Takes: s.AgentTime}
}

// countAgents looks once a tick whether the agents elect this node (Microsoft
// Defender for IoT guide, failover process).
func (e *Engine) countAgents() {
	now := e.Clock()
	if now < e.agents.counted.After(tick) {
		return
	}
	e.agents.counted = now
	if !e.settings.ClientMajority || len(e.agents.names) == 0 || e.broken != "" {
		return
	}
	if e.agents.panel.Elects(e.settings.panel(), now) {
		t := e.agents.panel.Tally(e.settings.panel(), now)
		if e.machine.State(e.member, now) != ha.Active {
			e.note(fmt.Sprintf("%d of %d agents have been with this node for %v", t.Here, t.Agents, e.settings.AgentTime))
		}
		e.step(ha.Event{On: ha.OnMajority})
	}
	e.publish()
}

// hearAgent notes which node an agent reaches.
func (e *Engine) hearAgent(ctx context.Context, id, node string) (Outcome, error) {
	switch {
	case !plainName(id):
		return Outcome{}, wrong(fmt.Sprintf("the agent's name %.40q is not possible", id), "Letters, digits, dot, dash and underscore, 100 at the most.")
	case node != e.Name && node != e.PeerName:
		return Outcome{}, wrong(fmt.Sprintf("%.80q is no node of this pair", node), fmt.Sprintf("Say %s or %s.", e.Name, e.PeerName))
	}
	return e.run(ctx, func() Outcome {
		a := &e.agents
		if at, known := slices.BinarySearch(a.names, id); !known {
			if len(a.names) >= mostAgents {
				return Outcome{Refused: fmt.Sprintf("%d agents are known, and that is the most", mostAgents)}
			}
			next := slices.Insert(slices.Clone(a.names), at, id)
			if err := e.store(filepath.Join(e.Dir, agentsFile), next); err != nil {
				return Outcome{Refused: "the agent cannot be stored: " + err.Error()}
			}
			a.names = next
			e.note("agent " + id + " is new")
		}
		a.panel.Hear(id, node == e.Name, e.Clock())
		return Outcome{}
	})
}

// dropAgent forgets an agent that is no more: one that is only silent counts.
func (e *Engine) dropAgent(ctx context.Context, id, who string) (Outcome, error) {
	return e.run(ctx, func() Outcome {
		a := &e.agents
		at, known := slices.BinarySearch(a.names, id)
		if !known {
			return Outcome{Refused: fmt.Sprintf("there is no agent %.80q", id)}
		}
		next := slices.Delete(slices.Clone(a.names), at, at+1)
		if err := e.store(filepath.Join(e.Dir, agentsFile), next); err != nil {
			return Outcome{Refused: "that cannot be stored: " + err.Error()}
		}
		a.names = next
		a.panel.Drop(id)
		e.note(who + " drops agent " + id)
		e.publish()
		return Outcome{}
	})
}

// plainName says whether a text may be an agent's name.
func plainName(id string) bool {
	return id != "" && len(id) <= 100 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == ""
}

// tally gives how many agents are where, nil if none is known or they elect
// nobody.
func (e *Engine) tally() *nodeapi.Agents {
	if !e.settings.ClientMajority || len(e.agents.names) == 0 {
		return nil
	}
	t := e.agents.panel.Tally(e.settings.panel(), e.Clock())
	return &nodeapi.Agents{
		Known: t.Agents, Here: t.Here, Peer: t.There, Silent: t.Agents - t.Here - t.There,
		Majority: t.For.Round(time.Second).String(), Resume: e.settings.Resume,
	}
}

// agentsSay tells people where the agents are; empty where nothing is unusual.
func agentsSay(a *nodeapi.Agents, name, peer string, m ha.Member, state ha.State) string {
	if a == nil || m.Mode != ha.Secondary || 2*a.Here <= a.Known && state != ha.Active {
		return ""
	}
	text := fmt.Sprintf("Agents: %d of %d reach %s, %d reach %s, %d are silent.", a.Here, a.Known, name, a.Peer, peer, a.Silent)
	switch {
	case state != ha.Active:
		return text + fmt.Sprintf(" It is promoted when more than half have been here for long enough (since %s now).", a.Majority)
	case a.Resume:
		return text + fmt.Sprintf(" When more than half are back with %s, it becomes Active again by itself (Resume: client_majority).", peer)
	}
	return text + fmt.Sprintf(" It stays Active when they go back to %s (Resume: manual).", peer)
}

// report has an agent heard, which learns nothing of the node.
func (c *control) report(w http.ResponseWriter, r *http.Request, hear func(nodeapi.Request) (Outcome, error)) {
	q, ok := request(w, r)
	if !ok {
		return
	}
	out, err := hear(q)
	if unfinished(w, out, err) {
		return
	}
	give(w, http.StatusOK, struct{}{})
}

// giveAgents tells where the agents are and which there are.
func (c *control) giveAgents(w http.ResponseWriter, r *http.Request) {
	var a nodeapi.Agents
	if _, err := c.run(r.Context(), func() Outcome {
		if t := c.tally(); t != nil {
			a = *t
		}
		a.Names = c.agents.names // replaced, never changed
		return Outcome{}
	}); unfinished(w, Outcome{}, err) {
		return
	}
	give(w, http.StatusOK, a)
}

// agentDoors are where agents say which node they reach.
func (c *control) agentDoors(mux *http.ServeMux) {
	mux.HandleFunc("GET /ha/v1/agents", func(w http.ResponseWriter, r *http.Request) {
		c.giveAgents(w, r)
	})
	mux.HandleFunc("PUT /ha/v1/agents/{id}", func(w http.ResponseWriter, r *http.Request) {
		c.report(w, r, func(q nodeapi.Request) (Outcome, error) {
			return c.hearAgent(r.Context(), r.PathValue("id"), q.Reaches)
		})
	})
	mux.HandleFunc("DELETE /ha/v1/agents/{id}", func(w http.ResponseWriter, r *http.Request) {
		c.act(func(ctx context.Context, _ nodeapi.Request, who string) (Outcome, error) {
			return c.dropAgent(ctx, r.PathValue("id"), who)
		})(w, r)
	})
}

func resumed(byAgents bool) string {
	if byAgents {
		return "client_majority"
	}
	return "manual"
}

func setResume(s *Settings, text string) error {
	for _, one := range []bool{true, false} {
		if strings.EqualFold(text, resumed(one)) {
			s.Resume = one
			return nil
		}
	}
	return fmt.Errorf("%.40q is neither %q nor %q", text, resumed(true), resumed(false))
}
