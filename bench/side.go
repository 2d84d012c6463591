package main

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// command is how a server is started.
type command struct {
	path string
	args []string
	dir  string   // where it runs; the harness's own directory when empty
	env  []string // added to the environment
}

// side is a kind of server that scenarios are measured on.
type side struct {
	name string
	// command returns how the side serves a scenario on addr, with its data in the empty directory data. origin is
	// the address of the proxy's origin, if the scenario has one.
	command func(b *bench, scenario, addr, data, origin string) command
}

var sides = []side{
	{"gatehouse", gatehouse("inprocess", 1)},
	{"workerd", func(b *bench, scenario, addr, data, origin string) command {
		args := []string{"serve", "--experimental", filepath.Join(b.source, "workerd", scenario+".capnp"), "config", "--socket-addr=http=" + addr}
		if scenario == "counter" {
			args = append(args, "--directory-path=store="+data)
		}
		return command{path: b.workerd(), args: args, env: []string{"BENCH_ORIGIN_URL=http://" + origin}}
	}},
	{"cells", gatehouse("process", 1)},
	{"reuse", gatehouse("inprocess", 1000)},
	{"direct", func(b *bench, scenario, addr, data, origin string) command {
		return b.caddy("caddy", filepath.Join("gatehouse", "direct"), addr, data, origin)
	}},
	{"silent", func(b *bench, scenario, addr, data, origin string) command {
		return b.caddy("caddy", filepath.Join("gatehouse", "silent"), addr, data, origin)
	}},
	{"audited", func(b *bench, scenario, addr, data, origin string) command {
		return b.caddy("caddy", filepath.Join("gatehouse", "audited"), addr, data, origin)
	}},
	{"coraza", func(b *bench, scenario, addr, data, origin string) command {
		return b.caddy("plaincoraza", filepath.Join("caddy", scenario), addr, data, origin)
	}},
	{"caddy", func(b *bench, scenario, addr, data, origin string) command {
		return b.caddy("plaincoraza", filepath.Join("caddy", scenario), addr, data, origin)
	}},
}

// gatehouse returns how Gatehouse runs a scenario with the agents' code where isolation says, and with runtimes that serve
// so many requests.
func gatehouse(isolation string, reuse int) func(b *bench, scenario, addr, data, origin string) command {
	return func(b *bench, scenario, addr, data, origin string) command {
		if scenario == "loader" {
			scenario = "hello" // a fresh runtime for each request is what it does
		}
		c := b.caddy("caddy", filepath.Join("gatehouse", scenario), addr, data, origin)
		c.env = append(c.env, "BENCH_ISOLATION="+isolation, "BENCH_REUSE="+strconv.Itoa(reuse))
		return c
	}
}

// isGatehouse reports whether a side is Gatehouse, in one way or another.
func isGatehouse(side string) bool { return side == "gatehouse" || side == "cells" || side == "reuse" }

func sideNames() []string {
	var names []string
	for _, s := range sides {
		names = append(names, s.name)
	}
	return names
}

func sideNamed(name string) (side, error) {
	for _, s := range sides {
		if s.name == name {
			return s, nil
		}
	}
	return side{}, fmt.Errorf("no side is called %q", name)
}

// caddy returns how one of the Caddy binaries runs a configuration. The WAF scenarios share one. The directory of
// the configuration is the working directory, so that the agents' paths are found in either way of reading them.
func (b *bench) caddy(binary, config, addr, data, origin string) command {
	if strings.HasPrefix(filepath.Base(config), "waf_") {
		config = filepath.Join(filepath.Dir(config), "waf")
	}
	return command{
		path: filepath.Join(b.binaries, binary),
		args: []string{"run", "--config", filepath.Join(b.source, config+".Caddyfile"), "--adapter", "caddyfile"},
		dir:  filepath.Join(b.source, filepath.Dir(config)),
		env: []string{
			"BENCH_PORT=" + port(addr), "BENCH_ORIGIN=" + origin, "BENCH_STORE=" + filepath.Join(data, "store"),
			"HOME=" + data, "XDG_DATA_HOME=" + filepath.Join(data, "share"), "XDG_CONFIG_HOME=" + filepath.Join(data, "config"),
		},
	}
}

// workerd returns the path of the native binary in its npm package. The package's own script would add a Node.js
// process to what is measured.
func (b *bench) workerd() string {
	arch := "64"
	if runtime.GOARCH == "arm64" {
		arch = "arm64"
	}
	return filepath.Join(b.source, "node_modules", "@cloudflare", "workerd-linux-"+arch, "bin", "workerd")
}
