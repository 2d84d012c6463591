package agentruntime

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/adhocore/gronx"
)

// CronSchedule checks a cron expression as Cloudflare defines it, of five fields in UTC, and returns the expression
// that gronx evaluates the same way. They differ in the numbers of weekdays: Cloudflare counts from 1, which is
// Sunday, to 7 (https://developers.cloudflare.com/workers/configuration/cron-triggers/), gronx from 0.
func CronSchedule(text string) (string, error) {
	fields := strings.Fields(text)
	if len(fields) != 5 {
		return "", fmt.Errorf("cron %q has %d fields, not the five of minute, hour, day, month, weekday", text, len(fields))
	}
	parts := strings.Split(fields[4], ",")
	for i, part := range parts {
		changed, err := weekdays(part)
		if err != nil {
			return "", fmt.Errorf("cron %q: %w", text, err)
		}
		parts[i] = changed
	}
	fields[4] = strings.Join(parts, ",")
	schedule := strings.ToUpper(strings.Join(fields, " "))
	if !gronx.IsValid(schedule) {
		return "", fmt.Errorf("cron %q is not a valid expression", text)
	}
	if _, err := gronx.NextTickAfter(schedule, time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), false); err != nil {
		return "", fmt.Errorf("cron %q never comes due", text)
	}
	return schedule, nil
}

// weekdayNumbers finds the numbers of days in one item of a weekday field: "1", "1-5", "6L" or "6#2", before a step.
var weekdayNumbers = regexp.MustCompile(`^(\d+)(?:-(\d+))?(.*)$`)

func weekdays(item string) (string, error) {
	m := weekdayNumbers.FindStringSubmatch(item)
	if m == nil {
		return item, nil
	}
	out := ""
	for i, number := range m[1:3] {
		if number == "" {
			continue
		}
		day, err := strconv.Atoi(number)
		if err != nil || day < 1 || day > 7 {
			return "", errors.New("a weekday is a number from 1 (Sunday) to 7 (Saturday), or a name from SUN to SAT")
		}
		if i > 0 {
			out += "-"
		}
		out += strconv.Itoa(day - 1)
	}
	return out + m[3], nil
}
