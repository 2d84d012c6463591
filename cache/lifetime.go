package cache

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxLife bounds a lifetime, so that no arithmetic overflows.
const maxLife = 365 * 24 * time.Hour

// lifetime is how long an answer may be kept, or why it may not. Where the answer does not say, it follows from the
// status, as at Cloudflare. A Set-Cookie that private=Set-Cookie sets apart is taken out of the header.
func lifetime(status int, header http.Header, now time.Time) (time.Duration, string) {
	directives := directivesOf(header)
	for _, d := range []string{"private", "no-cache"} {
		if fields, ok := directives[d]; ok && fields != "" {
			for name := range strings.SplitSeq(fields, ",") {
				header.Del(strings.TrimSpace(name))
			}
			delete(directives, d)
		}
	}
	if len(header.Values("Set-Cookie")) > 0 {
		return 0, "it sets a cookie; delete that header, or say Cache-Control: private=Set-Cookie"
	}
	for _, d := range []string{"no-store", "private", "no-cache"} {
		if _, ok := directives[d]; ok {
			return 0, "its Cache-Control says " + d
		}
	}
	for _, d := range []string{"s-maxage", "max-age"} {
		text, ok := directives[d]
		if !ok {
			continue
		}
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds <= 0 {
			return 0, "its Cache-Control says " + d + "=" + text
		}
		return min(time.Duration(min(seconds, int64(maxLife/time.Second)))*time.Second, maxLife), ""
	}
	if text := header.Get("Expires"); text != "" {
		at, err := http.ParseTime(text)
		if err != nil || !at.After(now) {
			return 0, "it has expired: Expires: " + text
		}
		return min(at.Sub(now), maxLife), ""
	}
	// https://developers.cloudflare.com/cache/how-to/configure-cache-status-code/
	switch status {
	case http.StatusOK, http.StatusMovedPermanently:
		return 120 * time.Minute, ""
	case http.StatusFound, http.StatusSeeOther:
		return 20 * time.Minute, ""
	case http.StatusNotFound, http.StatusGone:
		return 3 * time.Minute, ""
	}
	return 0, "it has status " + strconv.Itoa(status) + ", and no Cache-Control that says how long it may be kept"
}

// directivesOf reads Cache-Control (RFC 9111, section 5.2). Quotes around a value are taken off.
func directivesOf(header http.Header) map[string]string {
	all := map[string]string{}
	text := strings.Join(header.Values("Cache-Control"), ",")
	for text != "" {
		end := strings.IndexByte(text, ',')
		if quote := strings.IndexByte(text, '"'); quote >= 0 && quote < end {
			if closing := strings.IndexByte(text[quote+1:], '"'); closing >= 0 {
				after := quote + closing + 2
				end = strings.IndexByte(text[after:], ',')
				if end >= 0 {
					end += after
				}
			}
		}
		part := text
		if end >= 0 {
			part, text = text[:end], text[end+1:]
		} else {
			text = ""
		}
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if name != "" {
			all[strings.ToLower(strings.TrimSpace(name))] = strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return all
}
