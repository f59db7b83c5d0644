package node

import (
	"context"
	"net"
	"net/http"

	"github.com/understudy-ha/understudy/cmd/understudy/service"
)

// elsewhere is how another socket is named in node.yaml.
const elsewhere = "socket: …"

// asker finds the user at the other end of a connection.
type asker struct{}

// remember keeps with a connection who made it.
func remember(ctx context.Context, c net.Conn) context.Context {
	name, known := service.Peer(c)
	if !known {
		name = "nobody known"
	}
	return context.WithValue(ctx, asker{}, name)
}

// who gives the name of the user who asks.
func who(r *http.Request) string {
	name, _ := r.Context().Value(asker{}).(string)
	return name
}
