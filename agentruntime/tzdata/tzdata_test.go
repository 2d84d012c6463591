package tzdata

import (
	"testing"
	"time"
)

func TestLoad(t *testing.T) {
	at := time.Date(2024, 7, 1, 12, 0, 0, 0, time.UTC)
	for name, want := range map[string]string{
		"America/New_York": "08:00 EDT America/New_York", "europe/berlin": "14:00 CEST Europe/Berlin", "UTC": "12:00 UTC UTC", "Asia/Kolkata": "17:30 IST Asia/Kolkata",
	} {
		loc, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := at.In(loc).Format("15:04 MST ") + loc.String(); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
		if again, _ := Load(name); again != loc {
			t.Errorf("%s was made twice", name)
		}
	}
	for _, name := range []string{"", "Local", "../UTC", "America", "America/", "Nowhere/Land"} {
		if _, err := Load(name); err == nil {
			t.Errorf("there is a zone %q", name)
		}
	}
}
