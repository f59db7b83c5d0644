package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// pages is many nodes of which only the status pages are there, as cheap as
// they can be: one read, one write, hang up. It counts the probes.
type pages struct {
	answered atomic.Uint64
	answers  map[ha.State][2][]byte // by page
}

// runPages is the part "pages" of the program. It listens on one port of the
// addresses 127.0.1.1, 127.0.1.2 and so on as Active nodes and on another as
// Standby ones; prints the two ports; and then, for every line that it reads,
// how many probes it has answered.
func runPages(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("pages", flag.ContinueOnError)
	addresses := flags.Int("addresses", 16, "how many addresses")
	active := flags.Int("active", 0, "port of the Active nodes")
	standby := flags.Int("standby", 0, "port of those in Standby")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p := &pages{answers: map[ha.State][2][]byte{ha.Active: render(ha.Active), ha.Standby: render(ha.Standby)}}
	for i := range *addresses {
		for state, port := range map[ha.State]int{ha.Active: *active, ha.Standby: *standby} {
			l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", pagesHost(i), port))
			if err != nil {
				return err
			}
			defer l.Close()
			go p.serve(l, p.answers[state])
		}
	}
	fmt.Println("ready")
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			fmt.Println(p.answered.Load())
		}
	}()
	select {
	case <-ctx.Done():
	case <-asked:
	}
	return nil
}

// pagesHost is the address with number i.
func pagesHost(i int) string { return fmt.Sprintf("127.0.1.%d", i+1) }

// render gives what a node in a state answers at each page.
func render(state ha.State) (answers [2][]byte) {
	for _, page := range []ha.Page{ha.StatusPage, ha.HAStatusPage} {
		status, body := ha.FormatPage(page, state)
		answers[page] = fmt.Appendf(nil, "HTTP/1.1 %d -\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(body), body)
	}
	return answers
}

func (p *pages) serve(l net.Listener, answers [2][]byte) {
	for {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err == nil:
			go p.answer(conn, answers)
		}
	}
}

func (p *pages) answer(conn net.Conn, answers [2][]byte) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	request := make([]byte, 1024)
	for got := 0; got < len(request); {
		n, err := conn.Read(request[got:])
		if err != nil {
			return
		}
		got += n
		if bytes.HasSuffix(request[:got], []byte("\r\n\r\n")) {
			break
		}
	}
	page := ha.StatusPage
	if path, _, _ := strings.Cut(string(request), " HTTP/"); strings.HasSuffix(path, ha.Profile{}.Path(ha.HAStatusPage)) {
		page = ha.HAStatusPage
	}
	if _, err := conn.Write(answers[page]); err == nil {
		p.answered.Add(1)
	}
}
