package remote

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Peer is the client of a trusted node's engine. Each call ends with the given
// time at the latest. There is no breaker: an engine decides about an answer
// that does not come, and has to see each one.
type Peer struct {
	host      Host
	timeout   time.Duration
	transport *http.Transport
}

// Peer gives the client for a host. A timeout of 0 is 5 s. It keeps one
// connection; Close ends it.
func (t *Trust) Peer(h Host, timeout time.Duration) *Peer {
	if timeout <= 0 {
		timeout = 5 * time.Second
	}
	at := h.api()
	return &Peer{h, timeout, &http.Transport{
		DialContext:            (&net.Dialer{Timeout: timeout}).DialContext,
		TLSClientConfig:        t.clientTLS(h.Name, at, h.Pin),
		MaxConnsPerHost:        2,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        2 * time.Minute,
		MaxResponseHeaderBytes: 16 << 10,
		DisableCompression:     true,
	}}
}

// api gives where the engine of a host listens.
func (h Host) api() string {
	return net.JoinHostPort(h.Address(), strconv.Itoa(int(orPort(h.Port, DefaultPort))))
}

// Close ends the connection.
func (p *Peer) Close() { p.transport.CloseIdleConnections() }

// Report asks how the node is.
func (p *Peer) Report(ctx context.Context) (Peered, error) {
	return p.peered(ctx, http.MethodGet, nil)
}

// Tell tells the node how this one is, and learns how it is then.
func (p *Peer) Tell(ctx context.Context, t Telling) (Peered, error) {
	return p.peered(ctx, http.MethodPost, t)
}

func (p *Peer) peered(ctx context.Context, method string, doc any) (Peered, error) {
	var answer Peered
	if err := p.call(ctx, method, pathPeer, doc, &answer); err != nil {
		return Peered{}, err
	}
	if answer.Version != version || answer.Name != p.host.Name {
		return Peered{}, fmt.Errorf("%s answers as %s, with version %d: pair again", p.host.Name, cut(answer.Name), answer.Version)
	}
	return answer, nil
}

// StepDown asks the node to stop serving. A *ha.Refusal says that it does not.
func (p *Peer) StepDown(ctx context.Context, d StepDown) error {
	return p.post(ctx, pathStep, d)
}

// TrafficDecided tells the node what a front has decided. A word says that the
// front is to look again.
func (p *Peer) TrafficDecided(ctx context.Context, d TrafficDecided) (again string, err error) {
	var answer Decided
	err = p.call(ctx, http.MethodPost, pathTraffic, d, &answer)
	return answer.Again, err
}

func (p *Peer) post(ctx context.Context, path string, doc any) error {
	var answer struct {
		Version int `json:"version"`
	}
	return p.call(ctx, http.MethodPost, path, doc, &answer)
}

// exchange sends a card and gives the node's own.
func (p *Peer) exchange(ctx context.Context, c Card) (other Card, err error) {
	err = p.call(ctx, http.MethodPost, pathKeys, c, &other)
	return other, err
}

func (p *Peer) call(ctx context.Context, method, path string, doc, to any) error {
	if p.host.Pin == (Pin{}) {
		return fmt.Errorf("the TLS key of %s is not known, so its engine is not asked: remove it and paste its whole Local Server SSH Key, or pair by string", p.host.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	var body io.Reader = http.NoBody
	if doc != nil {
		text, err := json.Marshal(doc)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, "https://"+p.host.api()+path, body)
	if err != nil {
		return err
	}
	r.Header.Set("User-Agent", "understudy")
	answer, err := p.transport.RoundTrip(r)
	if err == nil {
		defer answer.Body.Close()
		err = hear(answer, to)
	}
	var no *ha.Refusal
	switch {
	case err == nil, errors.As(err, &no):
		return err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("call %s at %s: no answer within %s", p.host.Name, p.host.api(), p.timeout)
	}
	return fmt.Errorf("call %s at %s: %w", p.host.Name, p.host.api(), plainDial(err))
}

// hear reads an answer. A refusal of the engine is a *ha.Refusal, any other a
// *Told.
func hear(answer *http.Response, to any) error {
	if answer.StatusCode == http.StatusOK {
		return decode(answer.Body, to)
	}
	var f fault
	if err := decode(answer.Body, &f); err != nil || f.Refusal.Why == "" {
		return fmt.Errorf("it answered %d, which no engine of Understudy does", answer.StatusCode)
	}
	if answer.StatusCode == http.StatusConflict {
		return &f.Refusal
	}
	return &Told{answer.StatusCode, f.Refusal.Why}
}

// Told is the error that another host answered with.
type Told struct {
	Code int
	Why  string
}

func (t *Told) Error() string {
	why := t.Why
	if len(why) > 600 {
		why = why[:600] + "..."
	}
	return "it says: " + strconv.QuoteToGraphic(why)
}

// TLS gives what a client of a host's whole API needs: this host's key, and the
// other's pin. See nodeapi.NewTLS.
func (t *Trust) TLS(h Host) *tls.Config { return t.clientTLS(h.Name, h.api(), h.Pin) }

// URL gives where a host's API is.
func (h Host) URL() string { return "https://" + h.api() }
