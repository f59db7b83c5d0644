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

// samples are the values of one metric, by its labels.
type samples map[string]float64

func (s samples) sum() (sum float64) {
	for _, v := range s {
		sum += v
	}
	return sum
}

func (s samples) max() (most float64) {
	for _, v := range s {
		most = max(most, v)
	}
	return most
}

// grown gives the samples that are above what they were.
func (s samples) grown(before samples) samples {
	grown := samples{}
	for labels, v := range s {
		if v > before[labels] {
			grown[labels] = v
		}
	}
	return grown
}

// scrape reads one metric of a page in the Prometheus text format, the samples
// whose labels contain label.
func scrape(ctx context.Context, url, metric, label string) (samples, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %s: %s", url, resp.Status)
	}
	found := samples{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		rest, is := strings.CutPrefix(lines.Text(), metric)
		end := strings.LastIndexByte(rest, ' ')
		if !is || end < 0 || end > 0 && rest[0] != '{' || !strings.Contains(rest[:end], label) {
			continue
		}
		value, err := strconv.ParseFloat(rest[end+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", url, err)
		}
		found[rest[:end]] = value
	}
	if len(found) == 0 && lines.Err() == nil {
		return nil, fmt.Errorf("%s has no %s", url, metric)
	}
	return found, lines.Err()
}
