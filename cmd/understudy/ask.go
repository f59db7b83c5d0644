package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/api"
)

// asker is what a command has that asks the API: its flags, and then the
// client.
type asker struct {
	session   *session
	at, token string
	tls       api.TLSFiles
}

// asks gives cmd the flags that lead to the API, and lets it complete the
// names of groups.
func (s *session) asks(cmd *cobra.Command) *asker {
	a := &asker{session: s}
	cmd.Flags().StringVar(&a.at, "api", "", "unix socket or URL of the API (default $UNDERSTUDY_API, the sidecar's socket, or "+api.CaddyAdmin+")")
	cmd.Flags().StringVar(&a.token, "token-file", "", "file with the token to send (default $UNDERSTUDY_TOKEN_FILE)")
	cmd.Flags().StringVar(&a.tls.CA, "tls-ca", "", "file with the CA of the API's certificate (default $UNDERSTUDY_TLS_CA, or whom the system trusts)")
	cmd.Flags().StringVar(&a.tls.Cert, "tls-cert", "", "file with the client certificate to show (default $UNDERSTUDY_TLS_CERT)")
	cmd.Flags().StringVar(&a.tls.Key, "tls-key", "", "file with its key (default $UNDERSTUDY_TLS_KEY)")
	cmd.Args = atMostOneGroup
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.names(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
	}
	return a
}

// client gives the client of the API that the flags name.
func (a *asker) client() (*api.Client, error) {
	there := func(path string) bool { _, err := os.Stat(path); return err == nil }
	at := api.Where(a.at, a.session.getenv("UNDERSTUDY_API"), there)
	token, err := a.readToken()
	if err != nil {
		return nil, err
	}
	c, err := api.NewClient(at, token)
	if err != nil {
		return nil, &failure{exitUsage, "understudy: nothing was done", err.Error(), "Give a path such as /run/understudy/sidecar.sock, or a URL such as " + api.CaddyAdmin, readCLI}
	}
	if err := c.Secure(a.tlsFiles(at)); err != nil {
		return nil, &failure{exitUsage, "understudy: nothing was done", err.Error(), "See --tls-ca, --tls-cert and --tls-key, and $UNDERSTUDY_TLS_CA, _CERT and _KEY", readCLI}
	}
	return c, nil
}

// tlsFiles gives the files that the flags name, and for an https API those of
// the environment for the others.
func (a *asker) tlsFiles(at string) api.TLSFiles {
	f := a.tls
	if strings.HasPrefix(at, "https://") {
		f.CA = cmp.Or(f.CA, a.session.getenv("UNDERSTUDY_TLS_CA"))
		f.Cert = cmp.Or(f.Cert, a.session.getenv("UNDERSTUDY_TLS_CERT"))
		f.Key = cmp.Or(f.Key, a.session.getenv("UNDERSTUDY_TLS_KEY"))
	}
	return f
}

func (a *asker) readToken() (string, error) {
	path := a.token
	if path == "" {
		path = a.session.getenv("UNDERSTUDY_TOKEN_FILE")
	}
	if path == "" {
		return "", nil
	}
	text, err := os.ReadFile(path) // #nosec G304 -- the caller's own file
	if err != nil {
		return "", &failure{exitUsage, "understudy: nothing was done", "the token cannot be read: " + err.Error(), "Name a file that you can read with --token-file", readCLI}
	}
	return strings.TrimSpace(string(text)), nil
}

// group gives the group that the arguments name; without one, the only group
// there is.
func (a *asker) group(ctx context.Context, c *api.Client, args []string) (api.Group, error) {
	if len(args) == 1 {
		return c.Group(ctx, args[0])
	}
	groups, err := c.Groups(ctx)
	switch {
	case err != nil:
		return api.Group{}, err
	case len(groups) == 1:
		return groups[0], nil
	case len(groups) == 0:
		return api.Group{}, &failure{exitUsage, "understudy: nothing was done", "the API at " + c.At() + " has no group", "Configure a group first.", "docs/README.md"}
	}
	return api.Group{}, &failure{
		exitUsage, "understudy: nothing was done", fmt.Sprintf("there are %d groups, and none is named", len(groups)),
		"Name one of these: " + strings.Join(namesOf(groups), ", "), "understudy status",
	}
}

// names gives the groups for completion; none if nobody answers soon.
func (a *asker) names(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	c, err := a.client()
	if err != nil {
		return nil
	}
	groups, err := c.Groups(ctx)
	if err != nil {
		return nil
	}
	return namesOf(groups)
}

func namesOf(groups []api.Group) []string {
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = g.Name
	}
	return names
}
