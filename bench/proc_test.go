package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	page := int64(os.Getpagesize())
	tests := []struct {
		name, line string
		want       process
		err        error
	}{
		{"plain", "7 (caddy) S 3 7 7 0 -1 0 1 2 3 4 100 50 5 2 20 0 9 0 1234 5678 42 18446744073709551615",
			process{7, 3, 1570 * time.Millisecond, 42 * page}, nil},
		{"parentheses in the name", "7 (a) b (c) R 3 7 7 0 -1 0 1 2 3 4 1 0 0 0 20 0 9 0 1234 5678 1 1",
			process{7, 3, 10 * time.Millisecond, page}, nil},
		{"cut", "7 (caddy) S 3", process{}, errStat},
		{"empty", "", process{}, errStat},
		{"no number", strings.Replace("7 (x) S 3 7 7 0 -1 0 1 2 3 4 ? 0 0 0 20 0 9 0 1 5 1 1", "?", "x", 1), process{}, errStat},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseStat(7, test.line)
			if !errors.Is(err, test.err) || got != test.want {
				t.Errorf("got %+v, %v, want %+v, %v", got, err, test.want, test.err)
			}
		})
	}
}

func TestSumTree(t *testing.T) {
	all := []process{{4, 2, 4, 40}, {1, 0, 1, 10}, {2, 1, 2, 20}, {3, 1, 100, 1000}, {5, 4, 8, 80}}
	got, err := sumTree(2, all)
	if want := (usage{14, 140}); err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if _, err := sumTree(9, all); err == nil {
		t.Error("a process that has ended is measured")
	}
}

func TestParseBusy(t *testing.T) {
	got, err := parseBusy("cpu  1 2 4 1000 1000 8 16 32 64 128")
	if want := 63 * tick; err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, line := range []string{"", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 3 4 5 6 7 x"} {
		if _, err := parseBusy(line); !errors.Is(err, errStat) {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// TestStartServerTellsWhy starts a program that says something and ends.
func TestStartServerTellsWhy(t *testing.T) {
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	_, err = startServer(t.Context(), "peer", addr, filepath.Join(t.TempDir(), "log"),
		command{path: "/bin/sh", args: []string{"-c", "echo no such directive >&2"}})
	if err == nil || !strings.Contains(err.Error(), "peer ended") || !strings.Contains(err.Error(), "no such directive") {
		t.Errorf("got %v", err)
	}
}
