package upgrade

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// haproxyRouter is a backend of HAProxy, held by its runtime socket: "disable
// health" on every server, after which a server counts as up whatever happens to
// it (HAProxy management guide, 9.3). Never "disable server", which would take
// the Primary out.
type haproxyRouter struct {
	at      string // path of the socket, or host:port
	backend string
}

// haServer is a server of the backend.
type haServer struct {
	name    string
	up      bool
	admin   int64 // 0: nobody has forced anything
	check   int64 // bits of its health check
	backup  bool
	address string
}

// The bits of srv_check_state (HAProxy management guide, show servers state).
const (
	checkConfigured = 0x02
	checkEnabled    = 0x04
)

const haproxyWithin = 5 * time.Second

// plainWord is what may stand in a command for the socket.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,128}$`)

// ask sends one command and gives what the socket says.
func (h *haproxyRouter) ask(ctx context.Context, command string) (string, error) {
	network := "tcp"
	if strings.Contains(h.at, "/") {
		network = "unix"
	}
	ctx, cancel := context.WithTimeout(ctx, haproxyWithin)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, h.at)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if at, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(at)
	}
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(conn, 1<<20))
	return strings.TrimSpace(string(text)), err
}

// servers reads the servers of the backend.
func (h *haproxyRouter) servers(ctx context.Context) ([]haServer, error) {
	if !plainWord.MatchString(h.backend) {
		return nil, fmt.Errorf("%q is no name of a backend", h.backend)
	}
	text, err := h.ask(ctx, "show servers state "+h.backend)
	if err != nil {
		return nil, err
	}
	servers, err := parseServers(text)
	if err != nil {
		return nil, err
	}
	if text, err = h.ask(ctx, "show stat"); err != nil {
		return nil, err
	}
	backups, err := parseBackups(text, h.backend)
	if err != nil {
		return nil, err
	}
	for i, s := range servers {
		servers[i].backup = backups[s.name]
	}
	return servers, nil
}

// parseServers reads "show servers state", version 1.
func parseServers(text string) (servers []haServer, err error) {
	lines := bufio.NewScanner(strings.NewReader(text))
	if !lines.Scan() || lines.Text() != "1" {
		return nil, fmt.Errorf("it says %q and not what its servers are", cut(first(text), 120))
	}
	var names []string
	for lines.Scan() {
		words := strings.Fields(strings.TrimPrefix(lines.Text(), "#"))
		switch {
		case strings.HasPrefix(lines.Text(), "#"):
			names = words
			continue
		case len(words) == 0:
			continue
		}
		get := func(key string) string {
			if i := slices.Index(names, key); i >= 0 && i < len(words) {
				return words[i]
			}
			return ""
		}
		s := haServer{name: get("srv_name"), up: get("srv_op_state") == "2", address: get("srv_addr") + ":" + get("srv_port")}
		var bad error
		s.admin, err = strconv.ParseInt(get("srv_admin_state"), 10, 64)
		s.check, bad = strconv.ParseInt(get("srv_check_state"), 10, 64)
		if err = errors.Join(err, bad); err != nil || s.name == "" {
			return nil, fmt.Errorf("a server's line cannot be read: %q", cut(lines.Text(), 120))
		}
		servers = append(servers, s)
	}
	if len(servers) == 0 {
		return nil, errors.New("the backend has no server")
	}
	return servers, nil
}

// parseBackups reads "show stat": which servers of a backend are backup.
func parseBackups(text, backend string) (map[string]bool, error) {
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "# "))).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, fmt.Errorf("its figures cannot be read: %w", err)
	}
	at := func(name string) int { return slices.Index(rows[0], name) }
	px, sv, bck := at("pxname"), at("svname"), at("bck")
	if px < 0 || sv < 0 || bck < 0 {
		return nil, errors.New("its figures lack pxname, svname or bck")
	}
	backups := map[string]bool{}
	for _, row := range rows[1:] {
		if row[px] == backend {
			backups[row[sv]] = row[bck] == "1"
		}
	}
	return backups, nil
}

// Look says whether no server's health check is at work any more.
func (h *haproxyRouter) Look(ctx context.Context) Router {
	r := Router{Kind: "haproxy"}
	servers, err := h.servers(ctx)
	if err != nil {
		r.Fault = err.Error()
		return r
	}
	r.Held = true
	var names, said []string
	for _, s := range servers {
		word := "no health check"
		switch {
		case s.check&checkConfigured != 0 && s.check&checkEnabled != 0:
			r.Held, word = false, "health check enabled"
		case s.check&checkConfigured != 0:
			word = "health check disabled"
		}
		names = append(names, s.name+" "+s.address)
		said = append(said, s.name+" "+word)
	}
	r.Target = "backend " + h.backend + " at " + h.at + ": " + words(names)
	r.Said = words(said)
	if !r.Held {
		r.Serving = sendsTo(servers)
	}
	if !r.Held {
		r.Refuses = unsafeHold(servers)
	}
	return r
}

// sendsTo gives the server that clients are sent to: the first one that is up, a
// backup only if no other is; empty if there is none, or more than one.
func sendsTo(servers []haServer) string {
	for _, backup := range []bool{false, true} {
		var up []string
		for _, s := range servers {
			if s.up && s.admin == 0 && s.backup == backup {
				up = append(up, s.name)
			}
		}
		switch {
		case len(up) == 1, backup && len(up) > 1: // of several backups the first
			return up[0]
		case len(up) > 1:
			return ""
		}
	}
	return ""
}

// unsafe says why health checks may not be disabled: then every server counts
// as up, and clients go to all that are not backup.
func unsafeHold(servers []haServer) string {
	var fronts []string
	for _, s := range servers {
		switch {
		case s.backup:
		case !s.up || s.admin != 0:
			return fmt.Sprintf("%s is not up as HAProxy sees it; with its health check disabled clients would be sent there", s.name)
		default:
			fronts = append(fronts, s.name)
		}
	}
	if len(fronts) != 1 {
		return fmt.Sprintf("exactly one server must be without backup, and %d are (%s); with their health checks disabled clients would be sent to all of them", len(fronts), words(fronts))
	}
	return ""
}

// Do disables or enables every health check.
func (h *haproxyRouter) Do(ctx context.Context, d Deed) error {
	servers, err := h.servers(ctx)
	if err != nil {
		return err
	}
	verb := "enable"
	switch d.Do {
	case DoHold:
		if verb = "disable"; unsafeHold(servers) != "" {
			return &Refused{unsafeHold(servers)}
		}
	case DoRelease:
	default:
		return &Refused{"HAProxy's runtime socket only holds and releases"}
	}
	for _, s := range servers {
		if s.check&checkConfigured == 0 {
			continue
		}
		if !plainWord.MatchString(s.name) {
			return &Refused{fmt.Sprintf("the server's name %q cannot be used in a command", s.name)}
		}
		said, err := h.ask(ctx, verb+" health "+h.backend+"/"+s.name)
		if err != nil {
			return err
		}
		if said != "" { // it says nothing when it did it
			return &Refused{fmt.Sprintf("%s health %s: %s", verb, s.name, cut(first(said), 200))}
		}
	}
	return nil
}
