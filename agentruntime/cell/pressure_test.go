package cell

import (
	"context"
	"testing"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/durable"
)

// seatedClass makes actors of an agent's class A.
type seatedClass struct{ agent *Agent }

type seated struct{ *Actor }

func (s seated) Alarm(context.Context) error { return nil }

func (c *seatedClass) Activate(ctx context.Context, from durable.Activation) (durable.Instance, error) {
	x, err := c.agent.Activate(ctx, "A", from, nobody{}, nil)
	if err != nil {
		return nil, err
	}
	return seated{x}, nil
}

// TestMemoryRunsShort uses many more actors than fit into the cell's memory, one after the other: the least recently used
// leave it, and the cell lives.
func TestMemoryRunsShort(t *testing.T) {
	store := durable.NewMemory()
	defer store.Close()
	directory := durable.NewDirectory(durable.Config{Store: store})
	defer directory.Close(context.Background())
	p := newPool(t)
	a, err := p.NewAgent(AgentConfig{
		Name: "test", Limits: agentruntime.Limits{Memory: 64 << 20},
		Bundle: bundle(t, `export class A { constructor() { this.held = new Uint8Array(1 << 20).fill(1) } fetch() { return new Response(String(this.held[5])) } }
			export default { fetch() {} }`),
		Pressed: func(in func(*Actor) bool) {
			directory.Shed(func(i durable.Instance) bool { return in(i.(seated).Actor) }, 0.25)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	ns := durable.NewNamespace("A")
	directory.Register("A", &seatedClass{a})
	var first *process
	for i := range 400 {
		h, err := directory.Acquire(t.Context(), ns.Key(ns.IDFromName(string(rune('a'+i)))), "")
		if err != nil {
			t.Fatal(i, err)
		}
		x := h.Instance().(seated)
		if first == nil {
			first = x.cell
		}
		if x.cell != first {
			t.Fatalf("the cell was ended at the %dth actor", i)
		}
		inv := x.Fetch(t.Context(), nobody{}, get("/"))
		if _, err := inv.Response(); err != nil {
			t.Fatalf("the %dth actor: %v", i, err)
		}
		inv.Wait()
		h.Release()
	}
	if n := directory.Resident(); n >= 400 {
		t.Fatal(n, "actors are in memory")
	}
}
