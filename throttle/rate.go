package throttle

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Bounds of a rate.
const (
	MaxLimit  = 1_000_000_000
	MinWindow = time.Millisecond
	MaxWindow = 366 * 24 * time.Hour
)

// Rate is a number of admissions for each window of time.
type Rate struct {
	// Limit is the number of admissions, 1 to MaxLimit.
	Limit int
	// Window is the span they are counted over, MinWindow to MaxWindow.
	Window time.Duration
}

// ParseRate parses LIMIT/WINDOW, where the window is one of the units s, m, h
// and d, a whole number of days such as 2d, or a Go duration: "600/m",
// "10/30s", "5/1h30m". Errors are ErrRate and name the input.
func ParseRate(s string) (Rate, error) {
	invalid := func(why string) (Rate, error) {
		return Rate{}, fmt.Errorf("%w %q: %s; write LIMIT/WINDOW, such as 600/m or 10/30s", ErrRate, s, why)
	}
	limit, window, found := strings.Cut(s, "/")
	if !found {
		return invalid("there is no /")
	}
	n, err := strconv.Atoi(limit)
	if err != nil || limit[0] == '+' {
		return invalid("the limit is not a whole number")
	}
	w, ok := parseWindow(window)
	if !ok {
		return invalid("the window is not a duration")
	}
	r := Rate{Limit: n, Window: w}
	if err := r.Validate(); err != nil {
		return Rate{}, fmt.Errorf("%w (of %q)", err, s)
	}
	return r, nil
}

func parseWindow(s string) (time.Duration, bool) {
	switch s {
	case "s", "m", "h":
		s = "1" + s
	case "d":
		s = "1d"
	}
	if days, isDays := strings.CutSuffix(s, "d"); isDays {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err == nil
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}

// Validate returns ErrRate when the rate is out of bounds or admits more than
// one request a nanosecond.
func (r Rate) Validate() error {
	switch {
	case r.Limit < 1 || r.Limit > MaxLimit:
		return fmt.Errorf("%w: the limit %d is not within 1 and %d", ErrRate, r.Limit, MaxLimit)
	case r.Window < MinWindow || r.Window > MaxWindow:
		return fmt.Errorf("%w: the window %s is not within %s and %s", ErrRate, r.Window, MinWindow, MaxWindow)
	case int64(r.Limit) > int64(r.Window):
		return fmt.Errorf("%w: %d in %s is more than one a nanosecond", ErrRate, r.Limit, r.Window)
	}
	return nil
}

// String writes the rate so that ParseRate reads it back.
func (r Rate) String() string {
	window := r.Window.String()
	switch {
	case r.Window == time.Second:
		window = "s"
	case r.Window == time.Minute:
		window = "m"
	case r.Window == time.Hour:
		window = "h"
	case r.Window == 24*time.Hour:
		window = "d"
	case r.Window > 0 && r.Window%(24*time.Hour) == 0:
		window = strconv.FormatInt(int64(r.Window/(24*time.Hour)), 10) + "d"
	}
	return strconv.Itoa(r.Limit) + "/" + window
}
