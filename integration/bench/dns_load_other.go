//go:build !linux

package main

import (
	"context"
	"errors"
	"time"
)

const dnsFlows, dnsWindow = 0, 0

type dnsLoad struct{ good int }

func newDNSLoad(string, [][]byte, float64) (*dnsLoad, error) {
	return nil, errors.New("the bench needs Linux")
}

func (*dnsLoad) close() {}

func (*dnsLoad) run(context.Context, time.Duration) (float64, int) { return 0, 0 }
