package analytics

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func open(t *testing.T, c Config) *DB {
	t.Helper()
	if c.Path == "" {
		c.Path = filepath.Join(t.TempDir(), "new", "analytics.db")
	}
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestWriteThenQuery(t *testing.T) {
	d := open(t, Config{})
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC).Add(time.Since(time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)).Truncate(time.Hour))
	for i := range 10 {
		if err := d.Write(Point{Agent: "a", Dataset: "tool calls", Time: at, Indexes: []string{"search"}, Blobs: []string{"ok"}, Doubles: []float64{float64(i), 0.5}}); err != nil {
			t.Fatal(err)
		}
	}
	_ = d.Write(Point{Agent: "b", Dataset: "tool calls", Time: at, Doubles: []float64{1000}})
	got, err := d.Query(context.Background(), "a", `SELECT index1, blob1, count(*) AS n, sum(double1), max(timestamp) FROM "tool calls" GROUP BY 1, 2`, 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Rows) != 1 || got.Rows[0][0] != "search" || got.Rows[0][2] != int64(10) || got.Rows[0][3] != 45.0 {
		t.Fatalf("%+v", got)
	}
	if got.Rows[0][4] != at.Format("2006-01-02 15:04:05.000") {
		t.Fatalf("timestamp %v, want %v", got.Rows[0][4], at)
	}
	if got, err = d.Query(context.Background(), "a", `SELECT double1 FROM "tool calls"`, 3); err != nil || len(got.Rows) != 3 || !got.Truncated {
		t.Fatalf("limit: %+v %v", got, err)
	}
}

// TestDatasetNamedAsTheTable sees that a dataset may have the name of the table that holds all points.
func TestDatasetNamedAsTheTable(t *testing.T) {
	d := open(t, Config{})
	_ = d.Write(Point{Agent: "a", Dataset: "points", Time: time.Now(), Blobs: []string{"mine"}})
	_ = d.Write(Point{Agent: "b", Dataset: "points", Time: time.Now(), Blobs: []string{"another's"}})
	got, err := d.Query(context.Background(), "a", `SELECT blob1 FROM points`, 100)
	if err != nil || len(got.Rows) != 1 || got.Rows[0][0] != "mine" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestQueryOnlyReads(t *testing.T) {
	d := open(t, Config{})
	_ = d.Write(Point{Agent: "a", Dataset: "d", Time: time.Now()})
	for _, c := range []struct{ name, query, want string }{
		{"delete", `DELETE FROM points`, "not authorized"},
		{"drop", `DROP TABLE points`, "not authorized"},
		{"attach another file", `ATTACH '/etc/passwd' AS x`, "not authorized"},
		{"pragma", `PRAGMA journal_mode=delete`, "not authorized"},
		{"syntax", `SELEC 1`, "syntax error"},
		{"unknown dataset", `SELECT * FROM nothere`, "datasets of this agent: d"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := d.Query(context.Background(), "a", c.query, 10)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	d := open(t, Config{})
	for _, c := range []struct {
		name string
		p    Point
	}{
		{"two indexes", Point{Indexes: []string{"a", "b"}}},
		{"long index", Point{Indexes: []string{strings.Repeat("x", MaxIndexBytes+1)}}},
		{"many doubles", Point{Doubles: make([]float64, MaxDoubles+1)}},
		{"many blobs", Point{Blobs: make([]string, MaxBlobs+1)}},
		{"big blobs", Point{Blobs: []string{strings.Repeat("x", MaxBytes), "y"}}},
	} {
		if err := d.Write(c.p); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if err := d.Write(Point{Indexes: []string{strings.Repeat("x", MaxIndexBytes)}, Doubles: make([]float64, MaxDoubles), Blobs: make([]string, MaxBlobs)}); err != nil {
		t.Errorf("at the limit: %v", err)
	}
}

func TestRetentionAndReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	d, err := Open(Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	_ = d.Write(Point{Agent: "a", Dataset: "d", Time: time.Now().Add(-48 * time.Hour), Doubles: []float64{1}})
	_ = d.Write(Point{Agent: "a", Dataset: "d", Time: time.Now(), Doubles: []float64{2}})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, Config{Path: path, Retention: 24 * time.Hour})
	got, err := d.Query(context.Background(), "a", `SELECT double1 FROM d`, 10)
	if err != nil || len(got.Rows) != 1 || got.Rows[0][0] != 2.0 {
		t.Fatalf("%+v %v", got, err)
	}
}
