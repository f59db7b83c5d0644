package caddymodule

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("understudy", parseGlobal)
}

// parseGlobal reads the global option:
//
//	understudy {
//		state_dir <path>
//		group <name> {
//			node <name> <url> [manual] {
//				probe <url>
//				peer <url>
//			}
//			probe {
//				profile epmm|generic
//				interval|fast_interval|timeout <duration>
//				fall|rise <count>
//				host <name>
//				tls_ca <file>
//				tls_insecure
//				primary_path|primary_expect|standby_path|standby_expect|acting_expect <text>
//			}
//			on_promoted wait|follow|epoch
//			promotion_time <duration>
//			observe
//			lease_shared
//		}
//		notify {
//			webhook <url> {
//				secret_file <path>
//			}
//		}
//		peer_key <path>
//	}
//
// All faults are reported at once, each with its file and line.
func parseGlobal(d *caddyfile.Dispenser, existing any) (any, error) {
	if existing != nil {
		return nil, d.Err("understudy stands twice; put all groups into one block")
	}
	app, errs := readGlobal(d)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "understudy", Value: caddyconfig.JSON(app, nil)}, nil
}

// readGlobal gives what the global option says, as far as it can be read, and
// its faults.
func readGlobal(d *caddyfile.Dispenser) (*App, []error) {
	p := &parser{Dispenser: d, app: &App{Groups: map[string]*Group{}}, where: map[string]string{}}
	p.Next() // the option's name
	if p.NextArg() {
		p.fault(p.errorf("%s takes nothing more on its line", p.Val()))
	}
	for nesting := p.Nesting(); p.NextBlock(nesting); {
		p.global()
	}
	for _, f := range p.app.check() {
		p.fault(fmt.Errorf("%s: %s", p.place(f.path), f.text))
	}
	return p.app, p.errs
}

// parser reads the global option, collects faults and notes where everything
// stands.
type parser struct {
	*caddyfile.Dispenser
	app   *App
	where map[string]string // path of a fault: file:line
	errs  []error
}

func (p *parser) fault(err error) {
	if err != nil {
		p.errs = append(p.errs, err)
	}
}

// errorf gives an error with the place where the parser is.
func (p *parser) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", p.File(), p.Line(), fmt.Sprintf(format, args...))
}

// mark notes where the thing at path stands.
func (p *parser) mark(path string) { p.where[path] = fmt.Sprintf("%s:%d", p.File(), p.Line()) }

// place gives the line of the closest thing above path that was noted.
func (p *parser) place(path string) string {
	for {
		if at, ok := p.where[path]; ok {
			return at
		}
		i := strings.LastIndexByte(path, '/')
		if i < 0 {
			return p.File()
		}
		path = path[:i]
	}
}

// unknown reports a word that is not known here, and passes over its block.
func (p *parser) unknown(known string) {
	p.fault(p.errorf("unknown %q; known here: %s", p.Val(), known))
	p.NextSegment()
}

func (p *parser) global() {
	switch p.Val() {
	case "state_dir":
		p.text(&p.app.StateDir)
	case "peer_key":
		p.text(&p.app.PeerKey)
	case "group":
		p.group()
	case "notify":
		p.notify()
	case "etcd":
		p.etcd()
	default:
		p.unknown("state_dir, group, notify, peer_key, etcd")
	}
}

func (p *parser) group() {
	var name string
	p.text(&name)
	path, g := "groups/"+name, new(Group)
	if p.app.Groups[name] != nil {
		p.fault(p.errorf("group %s stands twice", name))
		path += "/again"
	} else {
		p.mark(path)
		p.app.Groups[name] = g
	}
	for nesting := p.Nesting(); p.NextBlock(nesting); {
		p.mark(path + "/" + p.Val())
		switch p.Val() {
		case "node":
			p.mark(fmt.Sprintf("%s/nodes/%d", path, len(g.Nodes)))
			g.Nodes = append(g.Nodes, p.node())
		case "probe":
			p.probe(&g.Probe, path+"/probe")
		case "on_promoted":
			p.text(&g.OnPromoted)
		case "promotion_time":
			p.duration(&g.PromotionTime)
		case "observe":
			p.flag(&g.Observe)
		case "lease_shared":
			p.flag(&g.LeaseShared)
		default:
			p.unknown("node, probe, on_promoted, promotion_time, observe, lease_shared")
		}
	}
}

func (p *parser) node() *Node {
	n := new(Node)
	args := p.RemainingArgs()
	switch {
	case len(args) < 2 || len(args) > 3 || (len(args) == 3 && args[2] != "manual"):
		p.fault(p.errorf("a node is written: node NAME URL [manual]"))
		for len(args) < 2 {
			args = append(args, "")
		}
	case len(args) == 3:
		n.Manual = true
	}
	n.Name, n.URL = args[0], args[1]
	for nesting := p.Nesting(); p.NextBlock(nesting); {
		switch p.Val() {
		case "probe":
			p.text(&n.Probe)
		case "peer":
			p.text(&n.Peer)
		case "manual":
			p.flag(&n.Manual)
		default:
			p.unknown("probe, peer, manual")
		}
	}
	return n
}

func (p *parser) probe(b *Probe, path string) {
	if p.NextArg() {
		p.fault(p.errorf("%s takes nothing more on its line", p.Val()))
	}
	texts := map[string]*string{
		"profile": &b.Profile, "host": &b.Host, "tls_ca": &b.TLSCA,
		"primary_path": &b.PrimaryPath, "primary_expect": &b.PrimaryExpect,
		"standby_path": &b.StandbyPath, "standby_expect": &b.StandbyExpect, "acting_expect": &b.ActingExpect,
	}
	durations := map[string]*caddy.Duration{"interval": &b.Interval, "fast_interval": &b.FastInterval, "timeout": &b.Timeout}
	counts := map[string]*int{"fall": &b.Fall, "rise": &b.Rise}
	for nesting := p.Nesting(); p.NextBlock(nesting); {
		key := p.Val()
		p.mark(path + "/" + key)
		switch {
		case texts[key] != nil:
			p.text(texts[key])
		case durations[key] != nil:
			p.duration(durations[key])
		case counts[key] != nil:
			p.count(counts[key])
		case key == "tls_insecure":
			p.flag(&b.TLSInsecure)
		default:
			p.unknown("profile, interval, fast_interval, timeout, fall, rise, host, tls_ca, tls_insecure, primary_path, primary_expect, standby_path, standby_expect, acting_expect")
		}
	}
}

func (p *parser) notify() {
	if p.app.Notify == nil {
		p.app.Notify = new(Notify)
	}
	for nesting := p.Nesting(); p.NextBlock(nesting); {
		switch p.Val() {
		case "webhook":
			p.mark(fmt.Sprintf("notify/webhooks/%d", len(p.app.Notify.Webhooks)))
			w := new(Webhook)
			p.text(&w.URL)
			for nesting := p.Nesting(); p.NextBlock(nesting); {
				if p.Val() == "secret_file" {
					p.text(&w.SecretFile)
					continue
				}
				p.unknown("secret_file")
			}
			p.app.Notify.Webhooks = append(p.app.Notify.Webhooks, w)
		case "mail":
			p.mail()
		default:
			p.unknown("webhook, mail")
		}
	}
}

// mail reads who is written to, and by which server.
func (p *parser) mail() {
	p.mark(fmt.Sprintf("notify/mails/%d", len(p.app.Notify.Mails)))
	m := new(Mail)
	p.text(&m.To)
	keys := map[string]*string{
		"server": &m.Server, "from": &m.From, "user": &m.User, "password_file": &m.PasswordFile, "tls": &m.TLS, "tls_ca": &m.TLSCA,
	}
	for nesting := p.Nesting(); p.NextBlock(nesting); {
		if to := keys[p.Val()]; to != nil {
			p.text(to)
			continue
		}
		p.unknown("server, from, user, password_file, tls, tls_ca")
	}
	p.app.Notify.Mails = append(p.app.Notify.Mails, m)
}

// text reads exactly one argument.
func (p *parser) text(to *string) {
	key := p.Val()
	if args := p.RemainingArgs(); len(args) != 1 {
		p.fault(p.errorf("%s takes one value, not %d", key, len(args)))
	} else {
		*to = args[0]
	}
}

func (p *parser) flag(to *bool) {
	if p.NextArg() {
		p.fault(p.errorf("%s takes nothing more on its line", p.Val()))
	}
	*to = true
}

func (p *parser) duration(to *caddy.Duration) {
	key, text := p.Val(), ""
	p.text(&text)
	d, err := caddy.ParseDuration(text)
	switch {
	case text == "": // reported
	case err != nil:
		p.fault(p.errorf("%s %q is not a duration like 5s or 500ms", key, text))
	case d <= 0:
		p.fault(p.errorf("%s must be above zero, not %s", key, text))
	default:
		*to = caddy.Duration(d.Round(time.Microsecond))
	}
}

func (p *parser) count(to *int) {
	key, text := p.Val(), ""
	p.text(&text)
	n, err := strconv.Atoi(text)
	switch {
	case text == "": // reported
	case err != nil || n < 1:
		p.fault(p.errorf("%s must be a number from 1, not %q", key, text))
	default:
		*to = n
	}
}
