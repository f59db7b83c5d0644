package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// Caller is the first line of a session of replication on the engine's socket:
// whose key sshd has proven. Whoever may open the socket is believed.
type Caller struct {
	Peer string `json:"peer"`
}

// Relay connects a proven peer's in and out with the engine's socket until
// either ends.
func Relay(socket, peer string, in io.Reader, out io.Writer) error {
	c, err := net.DialTimeout("unix", socket, 5*time.Second)
	if errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("the engine's socket %s may not be opened by this user: put it into the group of the socket", socket)
	}
	if err != nil {
		return errors.New("the engine does not run here, so nothing can be fetched")
	}
	defer c.Close()
	if err := json.NewEncoder(c).Encode(Caller{peer}); err != nil {
		return errors.New("the engine has ended")
	}
	go func() {
		_, _ = io.Copy(c, in)
		if u, ok := c.(*net.UnixConn); ok {
			_ = u.CloseWrite()
		}
	}()
	_, err = io.Copy(out, c)
	return err
}
