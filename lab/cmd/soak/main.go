// Command soak connects and disconnects containers through the real netavark, in several processes
// at once and with random options. It kills a third of the calls, and now and then the agent, at
// random moments. Some containers it abandons: their namespace goes, and no teardown comes. It runs
// in a lab host, and checks that all other calls succeed and that no container keeps an interface.
// Its caller checks what is left on the host.
package main

import (
	"flag"
	"fmt"
	"os"
	"sync"
	"time"
)

func main() {
	seed := flag.Uint64("seed", 1, "of all random choices; the timing stays random")
	cycles := flag.Int("cycles", 100, "how many times a container is connected and disconnected")
	workers := flag.Int("workers", 6, "how many at once, at most 50")
	local := flag.String("local", "198.18.0.11", "this host's address on eth0")
	flag.Parse()
	if err := runSoak(*seed, *cycles, min(*workers, 50), *local); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func runSoak(seed uint64, cycles, workers int, local string) error {
	begin := time.Now()
	networks := makeNetworks(seed, local)
	queue := make(chan int)
	crew := make([]*worker, workers)
	var wait sync.WaitGroup
	for i := range crew {
		w, err := newWorker(seed, i, networks)
		if err != nil {
			return err
		}
		crew[i] = w
		wait.Go(func() {
			for cycle := range queue {
				w.runCycle(cycle)
			}
		})
	}
	for cycle := range cycles {
		queue <- cycle
	}
	close(queue)
	wait.Wait()
	calls, killed, abandoned, failed, slow := 0, 0, 0, 0, 0
	for _, w := range crew {
		if err := w.removeNamespace(); err != nil {
			return err
		}
		calls, killed, abandoned, failed = calls+w.calls, killed+w.killed, abandoned+w.abandoned, failed+w.failed
		slow += w.slow
	}
	fmt.Printf("seed %d: %d cycles, %d calls, %d of them killed, %d found a slow agent, %d containers abandoned, "+
		"in %.1f s\n",
		seed, cycles, calls, killed, slow, abandoned, time.Since(begin).Seconds())
	if slow*maxSlowPart > calls {
		return fmt.Errorf("the agent was slow in %d of %d calls", slow, calls)
	}
	if failed > 0 {
		return fmt.Errorf("%d calls failed", failed)
	}
	return nil
}
