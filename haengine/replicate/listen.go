package replicate

import (
	"bufio"
	"context"
	"net"
	"sync"
	"time"
)

// caller is the first line on the socket: whose key sshd has proven.
type caller struct {
	Peer string `json:"peer"`
}

// Listen serves sessions that the forced command of sshd passes on, until ctx
// ends, and returns when all are over. Whoever may open the socket is believed.
func (s *Source) Listen(ctx context.Context, l net.Listener) error {
	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		sessions.Go(func() {
			defer c.Close()
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
			in := bufio.NewReader(c)
			var who caller
			if err := line(in, &who); err != nil || who.Peer == "" {
				return
			}
			_ = c.SetReadDeadline(time.Time{})
			s.serve(ctx, c, in, who.Peer)
		})
	}
}
