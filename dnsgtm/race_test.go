//go:build race

package dnsgtm

const raceEnabled = true
