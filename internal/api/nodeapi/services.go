package nodeapi

import (
	"context"
	"net/http"
)

// Service is a dataset of a node, as GET /ha/v1/services gives it. One that is
// optional can be enabled and disabled while the node runs; it is copied if it
// is enabled on both nodes (Core guide, Atlas configuration).
type Service struct {
	Name     string `json:"name"`
	Type     string `json:"type"` // how it is copied
	Optional bool   `json:"optional"`
	Enabled  bool   `json:"enabled"`
}

// Services gives the datasets of the node, and the tag that names its settings
// as they are.
func (c *Client) Services(ctx context.Context) (all []Service, tag string, err error) {
	h, err := c.do(ctx, call{method: http.MethodGet, path: "services"}, &all)
	return all, h.Get("ETag"), err
}

// SetServices enables and disables optional datasets, by name, from the next
// sync on. With a tag it is refused (412) if the settings are not those any
// more.
func (c *Client) SetServices(ctx context.Context, to map[string]bool, reason, tag string) (a Answer, err error) {
	_, err = c.do(ctx, call{http.MethodPut, "services", tag, Request{Services: to, Reason: reason}}, &a)
	return a, err
}
