package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// samples is what a metric says, over all its labels.
type samples struct{ sum, max float64 }

// scrape reads one metric of a page in the Prometheus text format. labels has
// what must stand in the samples' labels.
func scrape(ctx context.Context, url, metric string, labels ...string) (s samples, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return s, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("%s: %s", url, resp.Status)
	}
	found := false
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		line := lines.Text()
		rest, is := strings.CutPrefix(line, metric)
		if !is || rest == "" || rest[0] != ' ' && rest[0] != '{' || !hasAll(rest, labels) {
			continue
		}
		value, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			return s, fmt.Errorf("%s: %w", url, err)
		}
		s.sum += value
		s.max, found = max(s.max, value), true
	}
	if !found && lines.Err() == nil {
		return s, fmt.Errorf("%s has no %s", url, metric)
	}
	return s, lines.Err()
}

func hasAll(text string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}
