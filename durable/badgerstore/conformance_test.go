package badgerstore

import (
	"testing"

	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/durable/storetest"
)

// opener returns how to open a store in a new directory, again and again.
func opener(t *testing.T) storetest.Open {
	dir := t.TempDir()
	return func(t *testing.T) durable.Store {
		s, err := Open(Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestConformance(t *testing.T) { storetest.Run(t, storetest.Config{New: opener}) }

func TestModel(t *testing.T) { storetest.Model(t, storetest.Config{New: opener}) }
