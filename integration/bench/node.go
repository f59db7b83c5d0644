package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Headers between the meter and the nodes.
const (
	idHeader   = "X-Request-Id"
	nodeHeader = "X-Node"
)

// node is an application server of a pair: the two status pages, and an
// application that writes down the id of every POST that arrives.
type node struct {
	name     string
	active   atomic.Bool   // or in Standby
	promotes bool          // becomes Active with the first client's request
	slow     time.Duration // how long a POST takes
	arrived  *os.File      // one id a line; what is written survives kill -9
}

// runNode is the part "node" of the program. It prints a line when it listens.
func runNode(ctx context.Context, args []string) error {
	n := &node{}
	flags := flag.NewFlagSet("node", flag.ContinueOnError)
	flags.StringVar(&n.name, "name", "", "name of the node")
	flags.BoolVar(&n.promotes, "promote", false, "become Active with the first client's request")
	flags.DurationVar(&n.slow, "slow", 0, "how long a POST takes")
	active := flags.Bool("active", false, "begin Active, not in Standby")
	listen := flags.String("listen", "127.0.0.1:0", "address")
	arrived := flags.String("arrived", os.DevNull, "file for the ids of POSTs")
	err := flags.Parse(args)
	if err != nil {
		return err
	}
	n.active.Store(*active)
	if n.arrived, err = os.OpenFile(*arrived, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return err
	}
	defer n.arrived.Close()
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	server := &http.Server{Handler: n, ReadHeaderTimeout: time.Minute}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (n *node) state() ha.State {
	if n.active.Load() {
		return ha.Active
	}
	return ha.Standby
}

// ServeHTTP answers with a page or as the application.
func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var documented ha.Profile
	for _, page := range []ha.Page{ha.StatusPage, ha.HAStatusPage} {
		if r.URL.Path == documented.Path(page) {
			status, body := ha.FormatPage(page, n.state())
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
			return
		}
	}
	if n.promotes {
		n.active.Store(true)
	}
	if r.Method == http.MethodPost {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = fmt.Fprintln(n.arrived, r.Header.Get(idHeader))
		_ = pause(r.Context(), n.slow)
	}
	w.Header().Set(nodeHeader, n.name)
	_, _ = fmt.Fprintln(w, n.name)
}
