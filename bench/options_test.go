package main

import (
	"errors"
	"flag"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseOptions(t *testing.T) {
	tests := []struct {
		name string
		args string
		want string // part of the usage error; empty for none
	}{
		{"defaults", "", ""},
		{"chosen", "--only hello,counter --sides gatehouse,workerd --rounds 3 --seconds 0.5 --json", ""},
		{"unknown scenario", "--only helo", `no scenario is called "helo"; there are hello, record, loader, json`},
		{"unknown side", "--sides nginx", `no side is called "nginx"`},
		{"unknown flag", "--fast", "--help lists the flags"},
		{"argument", "hello", `unexpected argument "hello"`},
		{"no rounds", "--rounds 0", "--rounds must be"},
		{"no time", "--seconds 0", "--seconds must be"},
		{"negative warm-up", "--warm-up -1", "--warm-up must be"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := parseOptions(strings.Fields(test.args), io.Discard)
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.As(err, new(usageError)) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want a usage error with %q", err, test.want)
			}
		})
	}

	opts, list, err := parseOptions([]string{"--only", "json", "--seconds", "1.5", "--list"}, io.Discard)
	if err != nil || !list || opts.length != 1500*time.Millisecond || !slices.Equal(opts.only, []string{"json"}) || opts.rounds != 5 {
		t.Errorf("got %+v %v %v", opts, list, err)
	}
	var help strings.Builder
	if _, _, err := parseOptions([]string{"--help"}, &help); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("--help: %v", err)
	}
	for _, part := range []string{"Examples:", "-rounds", "-sides"} {
		if !strings.Contains(help.String(), part) {
			t.Errorf("the help lacks %q", part)
		}
	}
}

// TestRunListsWithoutMeasuring holds what --list prints.
func TestRunListsWithoutMeasuring(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), []string{"--list"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, s := range scenarios {
		if !strings.Contains(out.String(), s.name) {
			t.Errorf("the list lacks %s", s.name)
		}
	}
}
