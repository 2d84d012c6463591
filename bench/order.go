package main

import (
	"slices"
	"strconv"
	"strings"
)

// words are what the orders' names are made of: plain ones, which no rule of a WAF has anything against.
var words = [...]string{
	"amber", "birch", "canvas", "cedar", "copper", "cotton", "felt", "glass", "granite", "indigo", "ivory", "linen",
	"maple", "marble", "olive", "pearl", "pewter", "pine", "quartz", "rattan", "saffron", "satin", "slate", "walnut",
}

// appendOrder appends the n-th order as JSON: about 1 KB, 60 values in 10 items and the customer's name, all derived
// from n. It also returns the order's total in cents.
func appendOrder(buf []byte, n uint64) ([]byte, int64) {
	random := dice(n)
	word := func() string { return words[random.roll(uint64(len(words)))] }
	var total int64
	buf = append(buf, `{"customer":"`...)
	buf = append(buf, word()...)
	buf = append(buf, '-')
	buf = strconv.AppendUint(buf, n, 10)
	buf = append(buf, `","items":[`...)
	for i := range 10 {
		if i > 0 {
			buf = append(buf, ',')
		}
		qty, cents := int64(1+random.roll(20)), int64(50+random.roll(9_950))
		total += qty * cents
		buf = append(buf, `{"id":`...)
		buf = strconv.AppendUint(buf, 10_000+random.roll(90_000), 10)
		buf = append(buf, `,"name":"`...)
		buf = append(buf, word()...)
		buf = append(buf, ' ')
		buf = append(buf, word()...)
		buf = append(buf, ` no `...)
		buf = strconv.AppendUint(buf, random.roll(1_000), 10)
		buf = append(buf, `","qty":`...)
		buf = strconv.AppendInt(buf, qty, 10)
		buf = append(buf, `,"cents":`...)
		buf = strconv.AppendInt(buf, cents, 10)
		buf = append(buf, `,"tags":["`...)
		buf = append(buf, word()...)
		buf = append(buf, `","`...)
		buf = append(buf, word()...)
		buf = append(buf, `"]}`...)
	}
	return append(buf, `]}`...), total
}

// dice is a small generator of evenly spread numbers (SplitMix64), so that an order can be made again from its number.
type dice uint64

// roll returns a number from 0 to sides-1.
func (d *dice) roll(sides uint64) uint64 {
	*d += 0x9e3779b97f4a7c15
	z := uint64(*d)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return (z ^ z>>31) % sides
}

// orderSent is the order as a server reads it.
type orderSent struct {
	Customer string      `json:"customer"`
	Items    []orderItem `json:"items"`
}

type orderItem struct {
	ID    int      `json:"id"`
	Name  string   `json:"name"`
	Qty   int64    `json:"qty"`
	Cents int64    `json:"cents"`
	Tags  []string `json:"tags"`
}

// orderAnswer is what agents/json.js makes of it.
type orderAnswer struct {
	Customer string      `json:"customer"`
	Total    int64       `json:"total"`
	Lines    []orderLine `json:"lines"`
}

type orderLine struct {
	ID    int      `json:"id"`
	Label string   `json:"label"`
	Cost  int64    `json:"cost"`
	Tags  []string `json:"tags"`
}

// answeredBy reports whether the answer follows from the order in every field.
func (o orderSent) answeredBy(answer orderAnswer) bool {
	if answer.Customer != o.Customer || len(answer.Lines) != len(o.Items) {
		return false
	}
	var total int64
	for i, item := range o.Items {
		line := answer.Lines[i]
		if line.ID != item.ID || line.Label != strings.ToUpper(item.Name) || line.Cost != item.Qty*item.Cents ||
			!slices.Equal(line.Tags, item.Tags) {
			return false
		}
		total += line.Cost
	}
	return answer.Total == total
}
