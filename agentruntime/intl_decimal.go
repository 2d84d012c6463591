package agentruntime

import (
	"strconv"
	"strings"
)

// decimal is a number as its digits say it: 0.digits times ten to the power of exp. Numbers are rounded as they are
// written, so that 1.005 with two digits is 1.01.
type decimal struct {
	negative bool
	digits   string // without zeros at either end; empty for zero
	exp      int
}

// parseDecimal reads a finite number in the form of strconv or of a BigInt.
func parseDecimal(s string) decimal {
	var d decimal
	s, d.negative = strings.CutPrefix(s, "-")
	mantissa, power, _ := strings.Cut(strings.ToLower(s), "e")
	d.exp, _ = strconv.Atoi(power)
	whole, fraction, _ := strings.Cut(mantissa, ".")
	d.exp += len(whole)
	d.digits = whole + fraction
	return d.trimmed()
}

func (d decimal) trimmed() decimal {
	n := len(d.digits)
	d.digits = strings.TrimLeft(d.digits, "0")
	d.exp -= n - len(d.digits)
	if d.digits = strings.TrimRight(d.digits, "0"); d.digits == "" {
		d.exp = 0
	}
	return d
}

// round keeps n digits, halves away from zero. n may be negative.
func (d decimal) round(n int) decimal {
	if n >= len(d.digits) {
		return d
	}
	if n < 0 {
		return decimal{negative: d.negative}
	}
	up := d.digits[n] >= '5'
	kept := []byte("0" + d.digits[:n])
	for i := len(kept) - 1; up && i >= 0; i-- {
		if kept[i] == '9' {
			kept[i] = '0'
			continue
		}
		kept[i]++
		up = false
	}
	d.digits = string(kept)
	d.exp++
	return d.trimmed()
}

// fixed rounds to n digits after the point.
func (d decimal) fixed(n int) decimal { return d.round(d.exp + n) }

// plain writes the digits before and after the point, at least so many of each.
func (d decimal) plain(integers, fractions int) (whole, fraction string) {
	switch {
	case d.exp <= 0:
		fraction = strings.Repeat("0", min(-d.exp, 400)) + d.digits
		if d.digits == "" {
			fraction = ""
		}
	case d.exp >= len(d.digits):
		whole = d.digits + strings.Repeat("0", d.exp-len(d.digits))
	default:
		whole, fraction = d.digits[:d.exp], d.digits[d.exp:]
	}
	if n := integers - len(whole); n > 0 {
		whole = strings.Repeat("0", n) + whole
	}
	if n := fractions - len(fraction); n > 0 {
		fraction += strings.Repeat("0", n)
	}
	return whole, fraction
}
