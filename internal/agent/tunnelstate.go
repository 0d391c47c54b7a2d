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

// largest is the size of the largest frame that passes, on a network of that MTU; 0: none does.
func (s tunnelState) largest(mtu int) int {
	switch {
	case s.lost:
		return 0
	case s.passing > 0:
		return s.passing
	}
	return mtu
}

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

// tunnelMeasurement is what was found out at one time. Frames that look for the largest size that
// passes are not counted: most of them are meant to be lost.
type tunnelMeasurement struct {
	tunnelState
	full, small frameCount
	roundTrip   time.Duration // of the frame that was answered; 0: none was
}

// measureTunnel finds out what passes, given what did before.
func measureTunnel(ctx context.Context, path tunnelPath, mtu int, before tunnelState) (m tunnelMeasurement, err error) {
	if m.full, m.roundTrip, err = path.send(ctx, mtu, probeTries); m.full.answered > 0 || err != nil {
		return m, err
	}
	m.small, m.roundTrip, err = path.send(ctx, smallProbe, probeTries)
	if m.lost = m.small.answered == 0; m.lost || err != nil {
		return m, err
	}
	if before.passing > 0 {
		// A search takes a dozen frames, and the size has hardly changed.
		if passes, err := path.passes(ctx, before.passing, searchTries); passes || err != nil {
			m.tunnelState = before
			return m, err
		}
	}
	m.passing, err = path.largestPassing(ctx, smallProbe, mtu)
	if err == nil && m.passing == mtu-1 {
		// All sizes passed that were tried: probably the way was mended meanwhile.
		count, took, err := path.send(ctx, mtu, searchTries)
		if count.answered > 0 || err != nil {
			return tunnelMeasurement{full: count, roundTrip: took}, err
		}
	}
	return m, err
}

// passes tells whether a frame of a size passes there, and its answer back.
func (p tunnelPath) passes(ctx context.Context, size int, tries []time.Duration) (bool, error) {
	count, _, err := p.send(ctx, size, tries)
	return count.answered > 0, err
}

// send sends frames of a size until one is answered, and tells how long that one took.
func (p tunnelPath) send(ctx context.Context, size int,
	tries []time.Duration) (count frameCount, took time.Duration, err error) {
	for _, wait := range tries {
		try, cancel := context.WithTimeout(ctx, wait)
		began := time.Now()
		answered, err := p.conn.Probe(try, p.bridge, size)
		took := time.Since(began)
		cancel()
		if err != nil {
			return count, 0, err
		}
		count.sent++
		if answered {
			count.answered++
			return count, took, nil
		}
	}
	return count, 0, nil
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
