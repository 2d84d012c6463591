package agentruntime

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dop251/goja"

	"github.com/gatehouse-edge/gatehouse/agentruntime/tzdata"
)

// dateLocales are the locales of dates and times.
var dateLocales = []string{"en-US", "en", "en-GB", "en-CA", "sv-SE", "sv"}

// dateFormat is the state of an Intl.DateTimeFormat. An empty field is not shown.
type dateFormat struct {
	locale                                                 string
	zone                                                   *time.Location
	zoneName                                               string // as resolvedOptions says it
	weekday, year, month, day, hour, minute, second, named string
	fraction                                               int
	cycle                                                  string // h11, h12, h23 or h24
	dateStyle, timeStyle                                   string
	opts                                                   *intlOptions
	bound                                                  *goja.Object
}

// newDateFormat reads the options. required and defaults are those of ToDateTimeOptions: any, date, time; date, time, all.
func (r *realm) newDateFormat(locale string, o *intlOptions, required, defaults string) *dateFormat {
	f := &dateFormat{locale: locale, opts: o}
	o.refuse(map[string]string{"calendar": "gregory", "numberingSystem": "latn", "era": "", "dayPeriod": ""})
	hour12 := optional(o.dict, "hour12")
	cycle := o.text("hourCycle", "", "h11", "h12", "h23", "h24")
	f.setZone(o)
	width := []string{"narrow", "short", "long"}
	digits := []string{"2-digit", "numeric"}
	f.weekday = o.text("weekday", "", width...)
	f.year = o.text("year", "", digits...)
	f.month = o.text("month", "", append(digits, width...)...)
	f.day = o.text("day", "", digits...)
	f.hour = o.text("hour", "", digits...)
	f.minute = o.text("minute", "", digits...)
	f.second = o.text("second", "", digits...)
	f.fraction = max(o.number("fractionalSecondDigits", 1, 3), 0)
	f.named = o.text("timeZoneName", "", "short", "long", "shortOffset", "longOffset", "shortGeneric", "longGeneric")
	o.text("formatMatcher", "best fit", "basic", "best fit")
	styles := []string{"full", "long", "medium", "short"}
	f.dateStyle, f.timeStyle = o.text("dateStyle", "", styles...), o.text("timeStyle", "", styles...)
	f.fields(required, defaults)
	if f.hour != "" {
		twelve := f.locale != "en-GB" && !strings.HasPrefix(f.locale, "sv")
		switch {
		case hour12 != nil:
			twelve, cycle = hour12.ToBoolean(), ""
		case cycle != "":
			twelve = cycle == "h11" || cycle == "h12"
		}
		if f.cycle = cycle; cycle == "" {
			f.cycle = map[bool]string{true: "h12", false: "h23"}[twelve]
		}
	}
	f.check()
	return f
}

func (f *dateFormat) setZone(o *intlOptions) {
	f.zone, f.zoneName = time.UTC, "UTC"
	v := optional(o.dict, "timeZone")
	if v == nil {
		return
	}
	name := o.r.str(v)
	switch strings.ToUpper(name) {
	case "UTC", "ETC/UTC", "ETC/GMT", "GMT":
		return
	}
	if seconds, ok := zoneOffset(name); ok {
		f.zone, f.zoneName = time.FixedZone("", seconds), name
		return
	}
	loc, err := tzdata.Load(name)
	if err != nil {
		panic(o.r.newError("RangeError", "Invalid time zone specified: "+name))
	}
	f.zone, f.zoneName = loc, loc.String()
}

// zoneOffset reads an offset such as +05:30, in seconds.
func zoneOffset(s string) (int, bool) {
	if len(s) < 3 || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	for _, form := range []string{"-07:00", "-0700", "-07"} {
		if t, err := time.Parse(form, s); err == nil {
			_, seconds := t.Zone()
			return seconds, true
		}
	}
	return 0, false
}

// fields fills in what the styles, or their absence, mean.
func (f *dateFormat) fields(required, defaults string) {
	r := f.opts.r
	if f.dateStyle != "" || f.timeStyle != "" {
		if f.weekday+f.year+f.month+f.day+f.hour+f.minute+f.second+f.named != "" || f.fraction > 0 {
			panic(r.typeError("Can't set option when dateStyle or timeStyle is used"))
		}
		if required == "date" && f.timeStyle != "" || required == "time" && f.dateStyle != "" {
			panic(r.typeError("Invalid option : dateStyle or timeStyle"))
		}
		switch f.dateStyle {
		case "full":
			f.weekday, f.month, f.day, f.year = "long", "long", "numeric", "numeric"
		case "long":
			f.month, f.day, f.year = "long", "numeric", "numeric"
		case "medium":
			f.month, f.day, f.year = "short", "numeric", "numeric"
		case "short":
			f.month, f.day, f.year = "numeric", "numeric", "numeric"
			if strings.HasPrefix(f.locale, "en-US") || f.locale == "en" {
				f.year = "2-digit"
			}
		}
		switch f.timeStyle {
		case "full":
			f.named = "long"
		case "long":
			f.named = "short"
		}
		if f.timeStyle != "" {
			f.hour, f.minute = "numeric", "2-digit"
			if f.timeStyle != "short" {
				f.second = "2-digit"
			}
		}
		return
	}
	date := f.weekday+f.year+f.month+f.day != ""
	clock := f.hour+f.minute+f.second != "" || f.fraction > 0
	if required != "time" && date || required != "date" && clock {
		return
	}
	if defaults != "time" {
		f.year, f.month, f.day = "numeric", "numeric", "numeric"
	}
	if defaults != "date" {
		f.hour, f.minute, f.second = "numeric", "2-digit", "2-digit"
	}
}

// check refuses what this runtime has no pattern for.
func (f *dateFormat) check() {
	text := len(f.month) > 0 && f.month != "numeric" && f.month != "2-digit"
	sv := strings.HasPrefix(f.locale, "sv")
	switch {
	case sv && (text || f.weekday != "" || f.named != "" && f.named != "shortOffset" && f.named != "longOffset"):
		f.opts.unsupported("text in dates of " + f.locale)
	case (sv || f.locale == "en-CA") && !text && f.month != "" && (f.day == "" || f.year == ""):
		f.opts.unsupported("a date without year, month or day in " + f.locale)
	case f.month == "" && f.year != "" && (f.day != "" || f.weekday != ""), f.month != "" && f.weekday != "" && f.day == "":
		f.opts.unsupported("this combination of weekday, year, month and day")
	case f.named == "shortGeneric" || f.named == "longGeneric":
		f.opts.unsupported("timeZoneName " + f.named)
	case f.fraction > 0 && f.second == "" && f.hour+f.minute != "":
		f.opts.unsupported("fractionalSecondDigits without seconds")
	}
}

// parts formats t.
func (f *dateFormat) parts(t time.Time) []intlPart {
	t = t.In(f.zone)
	date, clock := f.date(t), f.clock(t)
	parts := date
	if len(clock) > 0 {
		if len(date) > 0 {
			sep := ", "
			switch {
			case strings.HasPrefix(f.locale, "sv"), f.month == "" && f.year == "" && f.day == "":
				sep = " "
			case f.month == "long":
				sep = " at "
			}
			parts = append(parts, intlPart{"literal", sep})
		}
		parts = append(parts, clock...)
	}
	if f.named != "" {
		sep := " "
		if len(clock) == 0 {
			sep = ", "
		}
		if len(parts) > 0 {
			parts = append(parts, intlPart{"literal", sep})
		}
		parts = append(parts, intlPart{"timeZoneName", f.zoneText(t)})
	}
	return parts
}

func twoDigits(n int, style string) string {
	if style == "2-digit" {
		return fmt.Sprintf("%02d", n%100)
	}
	return strconv.Itoa(n)
}

func abbreviated(s, style string) string {
	switch style {
	case "short":
		return s[:3]
	case "narrow":
		return s[:1]
	}
	return s
}

func (f *dateFormat) date(t time.Time) []intlPart {
	var parts []intlPart
	lit := func(s string) {
		if len(parts) > 0 {
			parts = append(parts, intlPart{"literal", s})
		}
	}
	weekday := func() {
		if f.weekday != "" {
			parts = append(parts, intlPart{"weekday", abbreviated(t.Weekday().String(), f.weekday)})
		}
	}
	field := func(kind, sep string) {
		style, value := "", ""
		switch kind {
		case "year":
			if style = f.year; style != "" {
				value = twoDigits(t.Year(), style)
			}
		case "month":
			if style = f.month; style == "numeric" || style == "2-digit" {
				value = twoDigits(int(t.Month()), style)
			} else if style != "" {
				value = abbreviated(t.Month().String(), style)
			}
		case "day":
			if style = f.day; style != "" {
				value = twoDigits(t.Day(), style)
			}
		}
		if style != "" {
			lit(sep)
			parts = append(parts, intlPart{kind, value})
		}
	}
	numeric := f.month == "numeric" || f.month == "2-digit"
	british := f.locale == "en-GB"
	switch {
	case f.month == "":
		field("day", "")
		if f.weekday != "" {
			lit(" ")
			weekday()
		}
		field("year", " ")
	case numeric && (f.locale == "en-CA" || strings.HasPrefix(f.locale, "sv")):
		g := *f
		g.month, g.day = "2-digit", "2-digit"
		f = &g
		weekday()
		field("year", ", ")
		field("month", "-")
		field("day", "-")
	case numeric && british:
		if g := *f; f.day != "" || f.year != "" {
			g.month = "2-digit"
			if g.day != "" {
				g.day = "2-digit"
			}
			f = &g
		}
		weekday()
		field("day", ", ")
		field("month", map[bool]string{true: "/", false: ""}[f.day != ""])
		field("year", "/")
	case numeric:
		weekday()
		field("month", ", ")
		field("day", "/")
		field("year", "/")
	case british:
		weekday()
		field("day", ", ")
		field("month", " ")
		field("year", " ")
	default:
		weekday()
		field("month", ", ")
		field("day", " ")
		field("year", map[bool]string{true: ", ", false: " "}[f.day != ""])
	}
	return parts
}

func (f *dateFormat) clock(t time.Time) []intlPart {
	var parts []intlPart
	add := func(kind, value string) {
		if len(parts) > 0 {
			parts = append(parts, intlPart{"literal", ":"})
		}
		parts = append(parts, intlPart{kind, value})
	}
	twelve := f.cycle == "h11" || f.cycle == "h12"
	if f.hour != "" {
		h, style := t.Hour(), f.hour
		switch f.cycle {
		case "h11":
			h %= 12
		case "h12":
			h = (h+11)%12 + 1
		case "h24":
			h = (h+23)%24 + 1
		}
		if !twelve {
			style = "2-digit"
		}
		add("hour", twoDigits(h, style))
	}
	if f.minute != "" {
		style := "numeric"
		if f.hour != "" || f.second != "" {
			style = "2-digit"
		}
		add("minute", twoDigits(t.Minute(), style))
	}
	if f.second != "" {
		style := "numeric"
		if f.minute != "" || f.hour != "" {
			style = "2-digit"
		}
		add("second", twoDigits(t.Second(), style))
	}
	if f.fraction > 0 {
		if f.second != "" {
			parts = append(parts, intlPart{"literal", "."})
		}
		parts = append(parts, intlPart{"fractionalSecond", fmt.Sprintf("%03d", t.Nanosecond()/1e6)[:f.fraction]})
	}
	if f.hour != "" && twelve {
		half := "AM"
		if t.Hour() >= 12 {
			half = "PM"
		}
		if f.locale == "en-CA" || f.locale == "en-GB" {
			half = strings.ToLower(half)
		}
		if f.locale == "en-CA" {
			half = half[:1] + "." + half[1:] + "."
		}
		parts = append(parts, intlPart{"literal", " "}, intlPart{"dayPeriod", half})
	}
	return parts
}

// zoneNames are the long names of the zones that have a short one in English.
var zoneNames = map[string]string{
	"EST": "Eastern Standard Time", "EDT": "Eastern Daylight Time", "CST": "Central Standard Time", "CDT": "Central Daylight Time",
	"MST": "Mountain Standard Time", "MDT": "Mountain Daylight Time", "PST": "Pacific Standard Time", "PDT": "Pacific Daylight Time",
	"AKST": "Alaska Standard Time", "AKDT": "Alaska Daylight Time", "HST": "Hawaii-Aleutian Standard Time", "HDT": "Hawaii-Aleutian Daylight Time",
}

func (f *dateFormat) zoneText(t time.Time) string {
	short, seconds := t.Zone()
	long, american := zoneNames[short]
	american = american && (strings.HasPrefix(f.zoneName, "America/") || strings.HasPrefix(f.zoneName, "US/") || strings.HasPrefix(f.zoneName, "Pacific/Honolulu"))
	switch f.named {
	case "short":
		if f.zoneName == "UTC" {
			return "UTC"
		}
		if american && f.locale != "en-GB" {
			return short
		}
	case "long":
		if f.zoneName == "UTC" {
			return "Coordinated Universal Time"
		}
		if !american {
			f.opts.unsupported("the long name of the time zone " + f.zoneName)
		}
		return long
	}
	offset := "GMT"
	if seconds == 0 && f.named != "longOffset" && f.named != "shortOffset" {
		return offset
	}
	sign := "+"
	if seconds < 0 {
		sign, seconds = "-", -seconds
	}
	hours, minutes := seconds/3600, seconds/60%60
	if f.named == "longOffset" {
		return fmt.Sprintf("%s%s%02d:%02d", offset, sign, hours, minutes)
	}
	if minutes == 0 {
		return fmt.Sprintf("%s%s%d", offset, sign, hours)
	}
	return fmt.Sprintf("%s%s%d:%02d", offset, sign, hours, minutes)
}

// timeOf is the time that a Date or a number stands for; nothing means now.
func (r *realm) timeOf(v goja.Value) time.Time {
	if !given(v) {
		return r.agent.now()
	}
	ms := v.ToNumber().ToFloat()
	if math.IsNaN(ms) || math.Abs(ms) > 8.64e15 {
		panic(r.newError("RangeError", "Invalid time value"))
	}
	return time.UnixMilli(int64(ms)).UTC()
}

func init() {
	declareIntl("DateTimeFormat", dateLocales, func(r *realm, locale string, o *intlOptions) any {
		return r.newDateFormat(locale, o, "any", "date")
	},
		bound("format", 1, func(f *dateFormat) *goja.Object { return f.bound }, func(f *dateFormat, fn *goja.Object) { f.bound = fn },
			func(r *realm, f *dateFormat, call goja.FunctionCall) goja.Value {
				return r.rt.ToValue(joinParts(f.parts(r.timeOf(call.Argument(0)))))
			}),
		member{name: "formatToParts", length: 1, call: method(func(r *realm, f *dateFormat, call goja.FunctionCall) goja.Value {
			return r.partsValue(f.parts(r.timeOf(call.Argument(0))))
		})},
		member{name: "formatRange", length: 2, call: method(func(r *realm, f *dateFormat, _ goja.FunctionCall) goja.Value {
			f.opts.unsupported("formatRange")
			return nil
		})},
		member{name: "formatRangeToParts", length: 2, call: method(func(r *realm, f *dateFormat, _ goja.FunctionCall) goja.Value {
			f.opts.unsupported("formatRangeToParts")
			return nil
		})},
		member{name: "resolvedOptions", call: method(func(r *realm, f *dateFormat, _ goja.FunctionCall) goja.Value {
			pairs := []any{"locale", f.locale, "calendar", "gregory", "numberingSystem", "latn", "timeZone", f.zoneName}
			if f.cycle != "" {
				pairs = append(pairs, "hourCycle", f.cycle, "hour12", f.cycle == "h11" || f.cycle == "h12")
			}
			if f.dateStyle+f.timeStyle == "" {
				pairs = append(pairs, "weekday", f.weekday, "year", f.year, "month", f.month, "day", f.day, "hour", f.hour, "minute", f.minute, "second", f.second,
					"timeZoneName", f.named)
				if f.fraction > 0 {
					pairs = append(pairs, "fractionalSecondDigits", f.fraction)
				}
			}
			return r.resolvedObject(append(pairs, "dateStyle", f.dateStyle, "timeStyle", f.timeStyle)...)
		})},
	)
	for name, kind := range map[string][2]string{"toLocaleString": {"any", "all"}, "toLocaleDateString": {"date", "date"}, "toLocaleTimeString": {"time", "time"}} {
		supplyMember("Date.prototype", name, 0, func(r *realm, call goja.FunctionCall) goja.Value {
			obj, ok := call.This.(*goja.Object)
			if !ok || obj.ClassName() != "Date" {
				panic(r.typeError("this is not a Date object."))
			}
			if math.IsNaN(obj.ToNumber().ToFloat()) {
				return r.rt.ToValue("Invalid Date")
			}
			f := r.newDateFormat(r.locale(call.Argument(0), dateLocales, "Intl.DateTimeFormat"), r.intlOptions(call.Argument(1), "Intl.DateTimeFormat"), kind[0], kind[1])
			return r.rt.ToValue(joinParts(f.parts(r.timeOf(obj))))
		})
	}
}
