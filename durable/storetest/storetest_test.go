package storetest_test

import (
	"testing"

	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/durable/storetest"
)

func memory(*testing.T) storetest.Open {
	return func(*testing.T) durable.Store { return durable.NewMemory() }
}

func TestMemory(t *testing.T) { storetest.Run(t, storetest.Config{New: memory, Volatile: true}) }

func TestMemoryModel(t *testing.T) { storetest.Model(t, storetest.Config{New: memory, Volatile: true}) }

func TestMemoryLinear(t *testing.T) {
	storetest.Linear(t, storetest.Config{New: memory, Volatile: true}, nil)
}
