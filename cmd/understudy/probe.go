package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/probes"
)

// probeFlags say what is asked, and how the answer is wanted.
type probeFlags struct {
	target        probes.Target
	profile, page string
	explain, json bool
}

func newProbe(s *session) *cobra.Command {
	f := &probeFlags{target: probes.Target{Node: "node"}}
	cmd := &cobra.Command{
		Use:   "probe URL",
		Short: "Ask a node for its pages once, as the watchers do",
		Long: `Ask the node at URL for the page of a Primary, for the page of every other node,
or for both, and say what the answer is read as. With --explain the request and
the answer are shown as they went over the wire, and the time of each phase.

The exit code is 0 if one of the pages asked for was read Active or Standby,
else 3. Nothing is told to the front or the sidecar.`,
		Example: "  understudy probe http://192.0.2.10:8080\n  understudy probe https://192.0.2.10 --host mdm.example.com --explain",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return misuse(cmd, "it takes one URL, such as http://192.0.2.10:8080")
			}
			return nil
		},
	}
	f.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f.target.URL = args[0]
		pages, err := f.pages()
		if err != nil {
			return misuse(cmd, err.Error())
		}
		checker, err := probes.NewChecker(f.target)
		if err != nil {
			return misuse(cmd, strings.ReplaceAll(strings.ReplaceAll(err.Error(), "node node: ", ""), "\n", "; "))
		}
		defer checker.Close()
		return s.probe(checker, f, pages)
	}
	return cmd
}

// register gives cmd its flags; they have the names of the configuration.
func (f *probeFlags) register(cmd *cobra.Command) {
	flags, p := cmd.Flags(), &f.target.Profile
	flags.StringVar(&f.profile, "profile", "epmm", "epmm, the documented pages, or generic, the five below")
	flags.StringVar(&p.PrimaryPath, "primary-path", "", "path of the Primary's page")
	flags.StringVar(&p.PrimaryExpect, "primary-expect", "", "what it contains when the node is Active")
	flags.StringVar(&p.StandbyPath, "standby-path", "", "path of the other nodes' page")
	flags.StringVar(&p.StandbyExpect, "standby-expect", "", "what it contains when the node stands by")
	flags.StringVar(&p.ActingExpect, "acting-expect", "", "what it contains when the node is Active")
	flags.StringVar(&f.page, "page", "both", "status (the Primary's), hastatus (the others'), or both")
	flags.StringVar(&f.target.Host, "host", "", "Host header and TLS server name (default the URL's)")
	flags.StringVar(&f.target.CAFile, "tls-ca", "", "PEM file of the authorities to trust (default the system's)")
	flags.BoolVar(&f.target.Insecure, "tls-insecure", false, "take any certificate")
	flags.DurationVar(&f.target.Timeout, "timeout", ha.DefaultRules().Timeout, "for a whole probe")
	flags.BoolVar(&f.explain, "explain", false, "show request, answer and times")
	flags.BoolVar(&f.json, "json", false, "print JSON")
}

// pages gives the pages that are wanted, or what is wrong with the flags.
func (f *probeFlags) pages() ([]ha.Page, error) {
	switch documented := f.target.Profile.Documented(); {
	case f.profile != "epmm" && f.profile != "generic":
		return nil, fmt.Errorf("--profile is epmm or generic, not %q", f.profile)
	case f.profile == "epmm" && !documented:
		return nil, fmt.Errorf("paths and expectations are for --profile generic")
	case f.profile == "generic" && documented:
		return nil, fmt.Errorf("--profile generic needs --primary-path, --primary-expect, --standby-path, --standby-expect and --acting-expect")
	}
	switch f.page {
	case "status":
		return []ha.Page{ha.StatusPage}, nil
	case "hastatus":
		return []ha.Page{ha.HAStatusPage}, nil
	case "both":
		return []ha.Page{ha.StatusPage, ha.HAStatusPage}, nil
	}
	return nil, fmt.Errorf("--page is status, hastatus or both, not %q", f.page)
}

// probed is one page's result.
type probed struct {
	Path    string      `json:"path"`
	Reading api.Reading `json:"reading"`
}

// probe asks for each page by itself, so that each has a reading of its own.
func (s *session) probe(c *probes.Checker, f *probeFlags, pages []ha.Page) error {
	var all []probed
	available := false
	for _, page := range pages {
		trace := c.Trace(page)
		path := f.target.Profile.Path(page)
		available = available || trace.Reading.State.Available()
		all = append(all, probed{path, api.ShowReading(trace.Reading)})
		if f.explain && !f.json {
			explain(s.out, trace)
		}
	}
	if f.json {
		if err := s.printJSON(map[string]any{"schema": api.Schema, "url": f.target.URL, "pages": all}); err != nil {
			return err
		}
	} else {
		table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		for _, p := range all {
			fmt.Fprintf(table, "%s\t%s\n", p.Path, api.ReadingWords(p.Reading))
		}
		_ = table.Flush()
	}
	if !available {
		return quiet(exitUnreachable)
	}
	return nil
}

// explain tells one probe as it went over the wire.
func explain(out io.Writer, t probes.Trace) {
	address := "no connection; the request would have been"
	if t.Address != "" {
		address = "connected to " + t.Address
	}
	if t.TLS != "" {
		address += ", " + t.TLS
	}
	fmt.Fprintln(out, address)
	quote(out, "> ", strings.ReplaceAll(t.Request, "\r", ""))
	answer := t.Header
	if t.Status != "" {
		answer = t.Status + "\n" + t.Header
	}
	quote(out, "< ", answer)
	if t.Body != "" {
		quote(out, "< ", "\n"+t.Body)
	}
	fmt.Fprintf(out, "name %s, connect %s, TLS %s, first byte %s, rest %s\n\n",
		spent(t.Spent.DNS), spent(t.Spent.Connect), spent(t.Spent.TLS), spent(t.Spent.FirstByte), spent(t.Spent.Body))
}

func quote(out io.Writer, mark, text string) {
	if strings.TrimSpace(text) == "" {
		return
	}
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		fmt.Fprintln(out, strings.TrimRight(mark+line, " "))
	}
}

func spent(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }
