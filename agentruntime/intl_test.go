package agentruntime

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestIntl holds expressions to what Node.js 20 makes of them (ICU 74; with a plain space before AM and PM, as Chrome's data
// has).
func TestIntl(t *testing.T) {
	data, err := os.ReadFile("testdata/intl.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]string
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	names := slices.Sorted(maps.Keys(want))
	asked, _ := json.Marshal(names)
	var got []string
	text := said(t, `const ask = `+string(asked)+`; export default { fetch() { return Response.json(ask.map((e) => {
		try { return String((0, eval)(e)) } catch (x) { return "threw " + x } })) } }`)
	if err := json.Unmarshal([]byte(text), &got); err != nil || len(got) != len(names) || len(got) < 400 {
		t.Fatal(err, len(got))
	}
	for i, name := range names {
		if got[i] != want[name] {
			t.Errorf("%s\ngot  %q\nwant %q", name, got[i], want[name])
		}
	}
}

// TestIntlRefuses holds that what is not supported is a RangeError that names it.
func TestIntlRefuses(t *testing.T) {
	for js, want := range map[string]string{
		`new Intl.DateTimeFormat("de-DE")`:                                                          "the locale de-DE is not supported; supported are en-US",
		`new Date().toLocaleDateString("fr-FR")`:                                                    "the locale fr-FR is not supported",
		`new Intl.DateTimeFormat("sv-SE", { month: "long" })`:                                       "text in dates of sv-SE is not supported",
		`new Intl.DateTimeFormat("en", { calendar: "islamic" })`:                                    "calendar islamic is not supported",
		`new Intl.DateTimeFormat("en", { year: "numeric", day: "numeric" })`:                        "this combination of weekday, year, month and day is not supported",
		`new Intl.DateTimeFormat("en").formatRange(0, 1)`:                                           "formatRange is not supported",
		`new Intl.DateTimeFormat("en", { timeZone: "Asia/Tokyo", timeStyle: "full" }).format(0)`:    "the long name of the time zone Asia/Tokyo is not supported",
		`new Intl.NumberFormat("ru")`:                                                               "the locale ru is not supported",
		`new Intl.NumberFormat("de", { notation: "compact" })`:                                      "compact notation or style unit in de is not supported",
		`new Intl.NumberFormat("fr", { style: "currency", currency: "USD" })`:                       "the sign of the currency USD in fr is not supported",
		`new Intl.NumberFormat("en", { style: "unit", unit: "acre" })`:                              "the unit acre is not supported",
		`new Intl.NumberFormat("en", { roundingMode: "floor" })`:                                    "roundingMode floor is not supported",
		`(5).toLocaleString("en", { style: "currency", currency: "USD", currencyDisplay: "name" })`: "currencyDisplay name is not supported",
		`"a".localeCompare("b", "xx")`:                                                              "the locale xx is not supported",
		`new Intl.ListFormat("de")`:                                                                 "the locale de is not supported",
	} {
		got := said(t, `export default { fetch() { try { `+js+`; return new Response("nothing") } catch (e) { return new Response(e.name + ": " + e.message) } } }`)
		if !strings.HasPrefix(got, "RangeError: ") || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", js, got, want)
		}
	}
}
