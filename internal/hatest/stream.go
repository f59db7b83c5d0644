package hatest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The application's own paths. Both take ?count=N&every=DURATION: so many
// pieces, 0 or none for no end, that far apart, 100 ms if not said. Any path
// asked with "Upgrade: echo" becomes a tunnel that sends back what it gets.
const (
	StreamPath = "/stream" // chunks, each "NAME NUMBER\n" from 1
	EventsPath = "/events" // server-sent events with the number as id and the name as data
)

// special answers what is no plain request, or is false.
func (n *Node) special(w http.ResponseWriter, r *http.Request, s *script) bool {
	switch {
	case strings.EqualFold(r.Header.Get("Upgrade"), "echo"):
		n.echo(w)
	case r.URL.Path == StreamPath:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		n.stream(w, r, s, "%[1]s %[2]d\n")
	case r.URL.Path == EventsPath:
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-store")
		n.stream(w, r, s, "id: %[2]d\ndata: %[1]s\n\n")
	default:
		return false
	}
	return true
}

// echo turns the connection into a tunnel until one side closes it.
func (n *Node) echo(w http.ResponseWriter) {
	c, in, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer c.Close()
	_, err = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n%s: %s\r\n\r\n", NodeHeader, n.cfg.Name)
	if err != nil {
		return
	}
	_, _ = io.Copy(c, in.Reader)
}

func (n *Node) stream(w http.ResponseWriter, r *http.Request, s *script, format string) {
	count, every, err := pieces(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for key, values := range s.header {
		w.Header()[key] = values
	}
	w.Header().Set(NodeHeader, n.cfg.Name)
	out := http.NewResponseController(w)
	for i := 1; count == 0 || i <= count; i++ {
		if i > 1 && !pause(r.Context(), every) {
			panic(http.ErrAbortHandler)
		}
		_, err := fmt.Fprintf(w, format, n.cfg.Name, i)
		if err != nil || out.Flush() != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

func pieces(q url.Values) (count int, every time.Duration, err error) {
	every = 100 * time.Millisecond
	if text := q.Get("count"); text != "" {
		count, err = strconv.Atoi(text)
	}
	if text := q.Get("every"); text != "" && err == nil {
		every, err = time.ParseDuration(text)
	}
	if err != nil || count < 0 || every < 0 {
		return 0, 0, errors.New("want count=N and every=DURATION")
	}
	return count, every, nil
}
