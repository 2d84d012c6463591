package caddymodule

import (
	"fmt"
	"math"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// place is where the dispenser stands, as FILE:LINE. Configurations keep it, so that an error found when they are
// provisioned still points at the Caddyfile.
func place(d *caddyfile.Dispenser) string { return fmt.Sprintf("%s:%d", d.File(), d.Line()) }

// at begins an error message with the place it is about.
func at(place, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if place == "" {
		return err
	}
	return fmt.Errorf("%s: %w", place, err)
}

// refuseOption is the error for an option that the contract names and this version does not have.
func refuseOption(d *caddyfile.Dispenser, option string) error {
	return d.Errf("the option %s is not part of this version; remove it", option)
}

// unknownOption is the error for an option that nothing knows.
func unknownOption(d *caddyfile.Dispenser, in string, known string) error {
	return d.Errf("unknown option %s in %s; it takes %s", d.Val(), in, known)
}

// oneArg reads exactly one argument of the current option.
func oneArg(d *caddyfile.Dispenser) (string, error) {
	args := d.RemainingArgs()
	if len(args) != 1 {
		return "", d.ArgErr()
	}
	return args[0], nil
}

// noArgs refuses arguments of the current option.
func noArgs(d *caddyfile.Dispenser) error {
	if len(d.RemainingArgs()) > 0 {
		return d.ArgErr()
	}
	return nil
}

// sizeArg reads a size such as 10MiB.
func sizeArg(d *caddyfile.Dispenser) (int64, error) {
	s, err := oneArg(d)
	if err != nil {
		return 0, err
	}
	n, err := parseSize(s)
	if err != nil {
		return 0, d.WrapErr(err)
	}
	return n, nil
}

// parseSize reads a size such as 10MiB in bytes.
func parseSize(s string) (int64, error) {
	n, err := humanize.ParseBytes(s)
	if err != nil || n == 0 || n > math.MaxInt64 {
		return 0, fmt.Errorf("%q is not a size; write it like 10MiB", s)
	}
	return int64(n), nil
}

// durationArg reads a duration such as 30s or 90d.
func durationArg(d *caddyfile.Dispenser) (caddy.Duration, error) {
	s, err := oneArg(d)
	if err != nil {
		return 0, err
	}
	v, err := parseDuration(s)
	if err != nil {
		return 0, d.WrapErr(err)
	}
	return v, nil
}

// parseDuration reads a duration such as 30s or 90d.
func parseDuration(s string) (caddy.Duration, error) {
	v, err := caddy.ParseDuration(s)
	if err != nil || v <= 0 {
		return 0, fmt.Errorf("%q is not a duration; write it like 30s or 90d", s)
	}
	return caddy.Duration(v), nil
}

// intArg reads a whole number from low to high.
func intArg(d *caddyfile.Dispenser, low, high int) (int, error) {
	s, err := oneArg(d)
	if err != nil {
		return 0, err
	}
	return parseInt(d, s, low, high)
}

func parseInt(d *caddyfile.Dispenser, s string, low, high int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		return 0, d.Errf("%q is not a whole number from %d to %d", s, low, high)
	}
	return n, nil
}
