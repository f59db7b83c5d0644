package main

import (
	"context"
	"fmt"
	"io"
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

// scrape reads a page in the Prometheus text format.
func scrape(ctx context.Context, url string) (page string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("get %s: %s", url, resp.Status)
	}
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// find gives the samples of one metric on a page whose labels contain label.
func find(page, metric, label string) (samples, error) {
	found := samples{}
	for line := range strings.Lines(page) {
		rest, is := strings.CutPrefix(strings.TrimSpace(line), metric)
		end := strings.LastIndexByte(rest, ' ')
		if !is || end < 0 || end > 0 && rest[0] != '{' || !strings.Contains(rest[:end], label) {
			continue
		}
		value, err := strconv.ParseFloat(rest[end+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", metric, err)
		}
		found[rest[:end]] = value
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("there is no %s %s", metric, label)
	}
	return found, nil
}
