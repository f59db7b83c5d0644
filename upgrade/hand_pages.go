package upgrade

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// pages reads the two status pages of a node whose engine is not ours.
type pages struct {
	base   string
	client *http.Client
}

func newPages(base string) pages {
	return pages{strings.TrimSuffix(base, "/"), &http.Client{
		Timeout:       5 * time.Second,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// look says what the pages show: the Active one says OK on its status page.
func (p pages) look(ctx context.Context) (n Node) {
	n.Settled = true
	primary, err := p.read(ctx, ha.StatusPage)
	if err != nil {
		n.Fault = err.Error()
		return n
	}
	second, err := p.read(ctx, ha.HAStatusPage)
	if err != nil {
		n.Fault = err.Error()
		return n
	}
	n.State = NotAvailable
	switch {
	case second == ha.Standby:
		n.State, n.Mode = Standby, Secondary
	case primary == ha.Active:
		n.State, n.Mode, n.Well = Active, Primary, true
	case second == ha.Active:
		n.State, n.Mode, n.Well = Active, Primary, true
	}
	return n
}

// read gives what one page says. A page that does not say OK is an answer too; an
// error is that nobody answers.
func (p pages) read(ctx context.Context, page ha.Page) (ha.State, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+ha.Profile{}.Path(page), nil)
	if err != nil {
		return ha.NotAvailable, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return ha.NotAvailable, fmt.Errorf("its status pages do not answer: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, ha.MaxPage))
	if err != nil {
		return ha.NotAvailable, err
	}
	if resp.StatusCode != http.StatusOK {
		return ha.NotAvailable, nil
	}
	state, _ := ha.Profile{}.Read(page, string(body))
	return state, nil
}
