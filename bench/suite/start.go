package suite

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"vxlan-driver/lab"
)

// start measures netavark's setup and teardown. Each lane has a host of its own, so that lanes see nothing of each other,
// and each round goes through all of them, so that any two can be compared pair by pair.
func (s *Suite) start(ctx context.Context) (r Result, err error) {
	lanes := startLanes(s.Quick)
	l, err := s.lab(ctx, "", len(lanes), s.Agent)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	s.log("start: filling %d hosts with containers", len(lanes))
	if err := openLanes(ctx, lanes, l.Hosts(), l.Host("outside")); err != nil {
		return r, err
	}
	s.log("start: measuring")
	const warmUp = 2
	for i := range s.rounds(20, 15) + warmUp {
		for j := range lanes {
			// A different one begins each time: the kernel may still be busy with what the last podman left.
			lane := lanes[(i+j)%len(lanes)]
			if i == warmUp {
				lane.forget()
			}
			if err := lane.cycle(); err != nil {
				return r, err
			}
		}
		for _, lane := range podmanLanes(lanes) {
			if err := lane.run(); err != nil {
				return r, err
			}
		}
	}
	return startResult(lanes, s.Quick), nil
}

// startLanes vary one thing at a time. With no other container there, the network's devices come and go as well. Networks
// are as Podman makes them for whoever asks for nothing special, with names; some are without.
func startLanes(quick bool) []*lane {
	if quick {
		return []*lane{
			{driver: driverVXLAN, others: 1, remotes: 3}, {driver: driverBridge, others: 1},
			{driver: driverVXLAN, others: 100, remotes: 3}, {driver: driverVXLAN, others: 1, ports: 5, remotes: 3},
		}
	}
	var lanes []*lane
	for _, others := range []int{0, 1, 50, 500} {
		lanes = append(lanes, &lane{driver: driverVXLAN, others: others, remotes: 3}, &lane{driver: driverBridge, others: others})
	}
	lanes = append(lanes, &lane{driver: driverVXLAN, others: 1, ports: 5, remotes: 3}, &lane{driver: driverBridge, others: 1, ports: 5})
	for _, remotes := range []int{100, 1000} {
		lanes = append(lanes, &lane{driver: driverVXLAN, others: 0, remotes: remotes}, &lane{driver: driverVXLAN, others: 1, remotes: remotes})
	}
	for _, others := range []int{0, 1} {
		lanes = append(lanes, &lane{driver: driverVXLAN, others: others, remotes: 3, bare: true}, &lane{driver: driverBridge, others: others, bare: true},
			&lane{driver: driverVXLAN, others: others, remotes: 1000, bare: true})
	}
	return append(lanes, &lane{driver: driverVXLAN, others: 500, remotes: 3, bare: true})
}

// podmanLanes are those in which a whole `podman run` is measured.
func podmanLanes(lanes []*lane) (some []*lane) {
	for _, l := range lanes {
		if l.others == 1 && l.ports == 0 && l.remotes <= 3 {
			some = append(some, l)
		}
	}
	return some
}

// find returns the lane with the same parameters, or nil.
func find(lanes []*lane, want lane) *lane {
	for _, l := range lanes {
		if l.driver == want.driver && l.others == want.others && l.ports == want.ports && l.remotes == want.remotes && l.bare == want.bare {
			return l
		}
	}
	return nil
}

// openLanes gives each lane one of the hosts; what is flooded goes to the gateway.
func openLanes(ctx context.Context, lanes []*lane, hosts []*lab.Host, gateway *lab.Host) error {
	var wait sync.WaitGroup
	errs := make([]error, len(lanes))
	for i, lane := range lanes {
		lane.host = hosts[i]
		wait.Go(func() {
			if errs[i] = lane.open(ctx, gateway); errs[i] != nil {
				errs[i] = fmt.Errorf("prepare %s: %w", lane, errs[i])
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}
