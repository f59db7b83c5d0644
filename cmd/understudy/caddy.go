package main

import (
	"os"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // the whole of Caddy
	_ "github.com/mholt/caddy-l4"                        // layer 4: listeners, matchers, PROXY protocol in

	_ "github.com/understudy-ha/understudy/caddymodule" // ours
)

// runCaddy hands the process to Caddy's own command line with our modules in
// it: understudy caddy run --config Caddyfile. It does not return.
func runCaddy(args []string) {
	os.Args = append([]string{"caddy"}, args...)
	caddycmd.Main()
}
