package notify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// WebhookConfig says where a Webhook posts. The URL may carry a token: of it
// only the host is ever shown.
type WebhookConfig struct {
	URL        string        // https or http, without user and password
	SecretFile string        // signs each message with what this file holds; empty: not signed
	TLSCA      string        // PEM file of the authorities to trust instead of the system's; empty: the system's
	Timeout    time.Duration // for one message, from dial to answer; 0: 10 s
}

// Check gives every fault of c, each in a sentence that begins with its key,
// or nil.
func (c WebhookConfig) Check() error {
	var faults []error
	if err := checkURL(c.URL); err != nil {
		faults = append(faults, err)
	}
	faults = append(faults, unusable("secret_file", c.SecretFile), unusable("tls_ca", c.TLSCA), negative(c.Timeout))
	return errors.Join(faults...)
}

// checkURL says what is wrong with a URL without showing any of it.
func checkURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return errors.New("url is missing")
	case err != nil:
		return errors.New("url is not a URL (it is not shown here, for it may carry a token)")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("url must begin with https:// or http://")
	case u.User != nil:
		return errors.New("url must not carry a user or a password; use secret_file, with which the receiver can tell that a message is ours")
	case u.Hostname() == "":
		return errors.New("url has no host")
	}
	return nil
}

// Webhook is the Sender that posts a message as JSON. An answer of 2xx is a
// delivery; any 4xx but 408, 425 and 429 is a rejection; all else may pass.
type Webhook struct {
	url       *url.URL
	secret    *secretFile // nil: not signed
	timeout   time.Duration
	transport *http.Transport
}

const (
	defaultTimeout = 10 * time.Second
	answerLimit    = 4 << 10 // bytes of an answer's body that are read
	headerLimit    = 16 << 10
	errorLimit     = 200 // bytes of an error that are shown
)

// NewWebhook gives the Sender for a webhook. It does not call anybody.
func NewWebhook(c WebhookConfig, log *slog.Logger) (*Webhook, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, checkURL(c.URL)
	}
	roots, err := readRoots(c.TLSCA)
	if err != nil {
		return nil, err
	}
	w := &Webhook{url: u, timeout: c.Timeout}
	if w.timeout == 0 {
		w.timeout = defaultTimeout
	}
	if c.SecretFile != "" {
		w.secret = &secretFile{path: c.SecretFile, log: log}
	}
	// No Proxy: the environment does not say where alarms go. No reuse of
	// connections: messages are rare, and an old one may be dead.
	w.transport = &http.Transport{
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: headerLimit,
	}
	return w, nil
}

// readRoots gives the authorities in a PEM file, nil for the system's.
func readRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("tls_ca cannot be used: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls_ca %s holds no certificate", path)
	}
	return roots, nil
}

// Name gives the receiver's host and, for one host may have several hooks, a
// mark of the whole URL that does not tell it.
func (w *Webhook) Name() string {
	host := strings.Map(func(r rune) rune {
		if strings.ContainsRune(nameLetters, r) {
			return r
		}
		return '_'
	}, strings.ToLower(w.url.Host))
	mark := sha256.Sum256([]byte(w.url.String()))
	return fmt.Sprintf("webhook-%.100s-%x", host, mark[:4])
}

// Send posts m.
func (w *Webhook) Send(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	body, err := json.Marshal(m)
	if err != nil {
		return &Rejected{fmt.Sprintf("make JSON: %v", err)}
	}
	req, err := w.request(ctx, m.ID, body)
	if err != nil {
		return err
	}
	// The transport and not a client: it follows no redirect.
	answer, err := w.transport.RoundTrip(req)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("post to %s: no answer within %s", w.url.Host, w.timeout)
	case err != nil:
		return fmt.Errorf("post to %s: %s", w.url.Host, w.clean(err.Error()))
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, answerLimit) // what it says is nothing to us
	return w.judge(answer, time.Now())
}

func (w *Webhook) request(ctx context.Context, id string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url.String(), bytes.NewReader(body))
	if err != nil {
		return nil, checkURL(w.url.String())
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "understudy")
	if id != "" {
		req.Header.Set("Idempotency-Key", id)
	}
	if w.secret == nil {
		return req, nil
	}
	secret, err := w.secret.read()
	if err != nil {
		return nil, err
	}
	now := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("X-Understudy-Timestamp", now)
	req.Header.Set("X-Understudy-Signature", sign(secret, now, body))
	return req, nil
}

// judge gives the error that an answer stands for.
func (w *Webhook) judge(answer *http.Response, now time.Time) error {
	code := answer.StatusCode
	why := fmt.Sprintf("%s answered %d", w.url.Host, code)
	switch {
	case code >= 200 && code < 300:
		return nil
	case code >= 300 && code < 400:
		return errors.New(why + ", and redirects are not followed")
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		if after := retryAfter(answer.Header.Get("Retry-After"), now); after > 0 {
			return &Busy{why, after}
		}
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly:
	case code >= 400 && code < 500:
		return &Rejected{why}
	}
	return errors.New(why)
}

// retryAfter reads seconds or a date (RFC 9110, 10.2.3), at most busyLimit; 0
// for anything else.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, busyLimit)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(0, at.Sub(now)), busyLimit)
}

// clean gives the text of an error without what the URL may hide, for the
// other side may echo it, and cut.
func (w *Webhook) clean(text string) string {
	for _, hidden := range []string{w.url.RequestURI(), w.url.EscapedPath(), w.url.RawQuery} {
		if len(hidden) > 1 {
			text = strings.ReplaceAll(text, hidden, "...")
		}
	}
	if len(text) > errorLimit {
		text = strings.ToValidUTF8(text[:errorLimit], "") + "..."
	}
	return text
}
