package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// newSample is the demo's application, which the nodes start and stop.
func newSample() *cobra.Command {
	return &cobra.Command{
		Use: "sample start DIR ADDRESS NAME | stop DIR | count DIR | upgrade DIR ADDRESS NAME VERSION", Hidden: true, Args: cobra.RangeArgs(2, 5),
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case args[0] == "start" && len(args) == 4:
				return startSample(args[1:])
			case args[0] == "run" && len(args) == 4:
				return runSample(args[1], args[2], args[3])
			case args[0] == "upgrade" && len(args) == 5:
				return upgradeSample(args[1:])
			case args[0] == "count":
				n, err := countDevices(args[1])
				fmt.Println(n)
				return err
			case args[0] == "stop":
				return stopSample(args[1])
			}
			return errors.New("it takes start or stop")
		},
	}
}

func samplePID(dir string) string { return filepath.Join(dir, "app.pid") }

// startSample leaves the application running.
func startSample(args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, append([]string{"demo", "sample", "run"}, args...)...) // #nosec G204 -- ourselves
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return os.WriteFile(samplePID(args[0]), []byte(strconv.Itoa(cmd.Process.Pid)), 0o600)
}

// signalSample tells the application that runs in a folder a signal. That there
// is none is no error.
func signalSample(dir string, s syscall.Signal) error {
	text, err := os.ReadFile(samplePID(dir)) // #nosec G304 -- the demo's own folder
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// stopSample ends the application.
func stopSample(dir string) error {
	if err := signalSample(dir, syscall.SIGKILL); err != nil {
		return err
	}
	if err := os.Remove(samplePID(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// runSample answers with the node's name, and keeps a list of devices. It ends with the demo, whose folder is
// gone then, and at the latest when the demo's process is.
func runSample(dir, address, name string) error {
	l, err := net.Listen("tcp", address)
	for range 50 { // somebody's connection may have the port for a moment
		if err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
		l, err = net.Listen("tcp", address)
	}
	if err != nil {
		return err
	}
	owner, _ := strconv.Atoi(os.Getenv("UNDERSTUDY_DEMO"))
	go func() {
		for range time.Tick(time.Second) {
			_, err := os.Stat(dir)
			if err != nil || owner > 0 && errors.Is(syscall.Kill(owner, 0), syscall.ESRCH) {
				os.Exit(0)
			}
		}
	}()
	list, err := openDevices(dir)
	if err != nil {
		return err
	}
	var n atomic.Int64
	s := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Node", name)
		if r.URL.Path == "/devices" {
			list.ServeHTTP(w, r)
			return
		}
		_, _ = io.WriteString(w, fmt.Sprintf("%s, epoch %s, request %d\n", name, os.Getenv("UNDERSTUDY_EPOCH"), n.Add(1)))
	})}
	return s.Serve(l)
}
