package durable

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestIDs(t *testing.T) {
	rooms, users := NewNamespace("Room"), NewNamespace("User")
	lobby := rooms.IDFromName("lobby")
	if lobby != NewNamespace("Room").IDFromName("lobby") {
		t.Error("the same name gives another id")
	}
	if lobby == rooms.IDFromName("Lobby") || lobby == users.IDFromName("lobby") {
		t.Error("another name or namespace gives the same id")
	}
	if again, err := rooms.IDFromString(lobby.String()); err != nil || again != lobby {
		t.Errorf("id from its own text: %v, %v", again, err)
	}
	if again, err := rooms.IDFromString(strings.ToUpper(lobby.String())); err != nil || again != lobby {
		t.Errorf("id from upper case: %v, %v", again, err)
	}
	unique, err := rooms.NewUniqueID(bytes.NewReader(bytes.Repeat([]byte{7}, 16)))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := rooms.IDFromString(unique.String()); err != nil || again != unique {
		t.Errorf("unique id from its own text: %v, %v", again, err)
	}
	if _, err := rooms.NewUniqueID(bytes.NewReader([]byte("short"))); err == nil {
		t.Error("unique id from too few random bytes")
	}
	flipped := lobby
	flipped[3] ^= 1
	tests := []struct {
		name, text string
		want       error
	}{
		{"another namespace's", users.IDFromName("lobby").String(), ErrForeignID},
		{"flipped bit", flipped.String(), ErrForeignID},
		{"zeroes", strings.Repeat("0", 64), ErrForeignID},
		{"short", lobby.String()[:63], ErrInvalidID},
		{"empty", "", ErrInvalidID},
		{"not hexadecimal", strings.Repeat("g", 64), ErrInvalidID},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := rooms.IDFromString(test.text); !errors.Is(err, test.want) {
				t.Errorf("error is %v instead of %v", err, test.want)
			}
		})
	}
}
