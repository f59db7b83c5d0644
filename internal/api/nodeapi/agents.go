package nodeapi

import (
	"context"
	"net/http"
	"net/url"
)

// Agents is where the agents of a pair are, as GET /ha/v1/agents gives it.
type Agents struct {
	Known    int      `json:"known"`
	Here     int      `json:"here"`
	Peer     int      `json:"peer"`
	Silent   int      `json:"silent"`
	Majority string   `json:"majority"` // how long more than half have been here
	Resume   bool     `json:"resume"`   // they bring the Primary back too
	Names    []string `json:"names"`
}

// Reach tells the node which one of the pair an agent reaches. An agent says so
// every 30 s to each node that it can call.
func (c *Client) Reach(ctx context.Context, agent, node string) error {
	return c.Ask(ctx, http.MethodPut, "agents/"+url.PathEscape(agent), Request{Reaches: node}, nil)
}

// DropAgent has the node forget an agent that is no more.
func (c *Client) DropAgent(ctx context.Context, agent string) error {
	return c.Ask(ctx, http.MethodDelete, "agents/"+url.PathEscape(agent), Request{}, nil)
}

// Agents tells where the agents are.
func (c *Client) Agents(ctx context.Context) (a Agents, err error) {
	err = c.Get(ctx, "agents", &a)
	return a, err
}
