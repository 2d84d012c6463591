package agentruntime

import (
	"sync"
	"testing"
)

// A goroutine that queues a task must get back to its own work though others keep the loop busy.
func TestLoopLetsItsRunnerGo(t *testing.T) {
	l := new(loop)
	stop := make(chan struct{})
	var again func()
	again = func() {
		select {
		case <-stop:
		default:
			l.post(again) // there is always another task
		}
	}
	l.run(task{run: again}) // returns, or the test hangs
	close(stop)
	var done sync.WaitGroup
	done.Add(1)
	l.post(done.Done)
	done.Wait()
}

func TestLoopKeepsOrder(t *testing.T) {
	l := new(loop)
	var got []int
	var done sync.WaitGroup
	done.Add(1)
	for i := range 100 {
		l.run(task{run: func() {
			got = append(got, i)
			if i == 0 {
				for k := range 40 {
					l.post(func() { got = append(got, 1000+k) })
				}
			}
		}})
	}
	l.post(done.Done)
	done.Wait()
	last := -1
	for _, n := range got {
		if n < 1000 {
			if n < last {
				t.Fatalf("out of order: %v", got)
			}
			last = n
		}
	}
	if len(got) != 140 || last != 99 {
		t.Fatalf("ran %d of 140, last %d", len(got), last)
	}
}
