package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// profile fetches a profile of a Caddy process from its admin endpoint into
// the folder of the flag -profile, while the caller goes on; without the flag
// it does nothing. The returned function waits for it.
func (b *bench) profile(ctx context.Context, admin, what, name string) func() {
	if b.profiles == "" {
		return func() {}
	}
	var under sync.WaitGroup
	under.Go(func() {
		if err := fetch(ctx, "http://"+admin+"/debug/pprof/"+what, filepath.Join(b.profiles, name)); err != nil {
			b.say("no profile %s: %v", name, err)
		}
	})
	return under.Wait
}

func fetch(ctx context.Context, url, file string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: %s", url, resp.Status)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, resp.Body); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
