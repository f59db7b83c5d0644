package main

import (
	"context"
	"embed"
	"os"
	"path/filepath"
	"strconv"
	"text/template"
)

//go:embed configs
var configs embed.FS

// settings is what the templates of configs are filled with.
type settings struct {
	Room         string // a folder of its own
	Port         int    // for clients, on loopback
	Admin        string
	Core1, Core2 string // the nodes
	Groups       []pair // of scale
}

// pair is a group with its nodes' addresses.
type pair struct{ Name, Core1, Core2 string }

// newSettings gives settings with a room and free ports.
func (b *bench) newSettings() (s settings, err error) {
	if s.Room, err = b.room(); err != nil {
		return s, err
	}
	if s.Port, err = freePort(); err != nil {
		return s, err
	}
	s.Admin, err = freeAddress()
	return s, err
}

// address is where clients go.
func (s settings) address() string { return "127.0.0.1:" + strconv.Itoa(s.Port) }

// fill writes a config into the room and gives its path.
func (s settings) fill(name string) (string, error) {
	t, err := template.ParseFS(configs, "configs/"+name)
	if err != nil {
		return "", err
	}
	f, err := os.Create(filepath.Join(s.Room, name))
	if err != nil {
		return "", err
	}
	if err := t.Execute(f, s); err != nil {
		_ = f.Close()
		return "", err
	}
	return f.Name(), f.Close()
}

// program is a way to run something with a config.
type program func(b *bench, config string) []string

func caddy(b *bench, config string) []string {
	return []string{b.binary, "caddy", "run", "--adapter", "caddyfile", "--config", config}
}

func haproxy(_ *bench, config string) []string { return []string{"haproxy", "-db", "-f", config} }

func nginx(_ *bench, config string) []string { return []string{"nginx", "-c", config} }

// launch starts a program with a config, in the settings' room. before goes
// before the program's own words.
func (b *bench) launch(ctx context.Context, s settings, p program, config string, before ...string) (*child, error) {
	path, err := s.fill(config)
	if err != nil {
		return nil, err
	}
	env := []string{"HOME=" + s.Room, "XDG_CONFIG_HOME=" + s.Room, "XDG_DATA_HOME=" + s.Room}
	return start(ctx, s.Room, config, env, append(before, p(b, path)...)...)
}
