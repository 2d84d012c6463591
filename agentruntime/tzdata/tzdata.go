// Package tzdata has the time zones of the IANA database (https://www.iana.org/time-zones, in the public domain), as the Go
// distribution packs them. Package time would look for them in the file system first, which worker processes may not touch.
// It knows nothing of JavaScript.
package tzdata

import (
	"archive/zip"
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

//go:generate sh -c "cp $(go env GOROOT)/lib/time/zoneinfo.zip zoneinfo.zip"

//go:embed zoneinfo.zip
var packed []byte

// zones are the packed zones, by their names in lower case.
var zones = sync.OnceValue(func() map[string]*zip.File {
	r, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		panic(fmt.Errorf("tzdata: reading the embedded zones: %w", err))
	}
	all := make(map[string]*zip.File, len(r.File))
	for _, f := range r.File {
		if !strings.HasSuffix(f.Name, "/") {
			all[strings.ToLower(f.Name)] = f
		}
	}
	return all
})

var loaded sync.Map // of *time.Location by name in lower case; it grows to the number of zones

// Load returns the zone of that name, in any case. It is safe for concurrent use.
func Load(name string) (*time.Location, error) {
	key := strings.ToLower(name)
	if loc, ok := loaded.Load(key); ok {
		return loc.(*time.Location), nil
	}
	f, ok := zones()[key]
	if !ok {
		return nil, fmt.Errorf("there is no time zone %q", name)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("reading the time zone %s: %w", f.Name, err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("reading the time zone %s: %w", f.Name, err)
	}
	loc, err := time.LoadLocationFromTZData(f.Name, data)
	if err != nil {
		return nil, fmt.Errorf("reading the time zone %s: %w", f.Name, err)
	}
	loaded.Store(key, loc)
	return loc, nil
}
