package agent

import (
	"context"
	"time"

	"vxlan-driver/internal/kernel"
)

// tunnelState is what passes to another host. The zero value is that all does.
type tunnelState struct {
	lost bool
	// passing is the size of the largest frame that passes if not all do, in bytes as an MTU counts
	// them.
	passing int
}

func (s tunnelState) isGood() bool { return s == tunnelState{} }

// smallProbe is the size of a frame that passes wherever any does.
const smallProbe = 64

var (
	// probeTries are how long an answer is waited for, one frame after the other. A busy machine's
	// agent takes some 100 ms.
	probeTries = []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond}
	// searchTries are those for each size while the largest that passes is looked for.
	searchTries = []time.Duration{150 * time.Millisecond, 300 * time.Millisecond}
)

// tunnelPath is the way to another host.
type tunnelPath struct {
	conn   TunnelConn
	bridge kernel.MAC // of the other host
}

// measureTunnel finds out what passes, given what did before.
func measureTunnel(ctx context.Context, path tunnelPath, mtu int, before tunnelState) (tunnelState, error) {
	if passes, err := path.passes(ctx, mtu, probeTries); passes || err != nil {
		return tunnelState{}, err
	}
	if passes, err := path.passes(ctx, smallProbe, probeTries); !passes || err != nil {
		return tunnelState{lost: true}, err
	}
	if before.passing > 0 {
		// A search takes a dozen frames, and the size has hardly changed.
		if passes, err := path.passes(ctx, before.passing, searchTries); passes || err != nil {
			return before, err
		}
	}
	passing, err := path.largestPassing(ctx, smallProbe, mtu)
	return tunnelState{passing: passing}, err
}

// passes tells whether a frame of a size passes there, and its answer back.
func (p tunnelPath) passes(ctx context.Context, size int, tries []time.Duration) (bool, error) {
	for _, wait := range tries {
		try, cancel := context.WithTimeout(ctx, wait)
		answered, err := p.conn.Probe(try, p.bridge, size)
		cancel()
		if answered || err != nil {
			return answered, err
		}
	}
	return false, nil
}

// largestPassing halves the sizes between one that passes and one that does not.
func (p tunnelPath) largestPassing(ctx context.Context, passing, lost int) (int, error) {
	for lost-passing > 1 && ctx.Err() == nil {
		middle := (passing + lost) / 2
		passes, err := p.passes(ctx, middle, searchTries)
		if err != nil {
			return 0, err
		}
		if passes {
			passing = middle
		} else {
			lost = middle
		}
	}
	return passing, nil
}
