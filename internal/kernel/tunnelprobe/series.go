package tunnelprobe

import (
	"context"
	"os"
	"time"

	"vxlan-driver/internal/kernel"
)

const (
	// seriesGap is between two frames of a series. Together with the replies, two hosts that send each
	// other a series stay below what an agent reads in a second.
	seriesGap = 5 * time.Millisecond
	// lastWait is how long the last answers are waited for. An agent that has read all that it reads
	// in a second answers in the next one.
	lastWait = 1200 * time.Millisecond
)

// Series sends a number of frames of a size, one after the other, and tells what became of them.
func (c *Conn) Series(ctx context.Context, to kernel.MAC, size, count int) (kernel.FrameSeries, error) {
	replies := make([]<-chan uint32, count)
	for i := range replies {
		nonce, reply := c.expectReply()
		defer c.stopExpecting(nonce)
		replies[i] = reply
		if err := c.send(message{kind: kindRequest, size: max(size, MinSize), nonce: nonce}, to); err != nil {
			return kernel.FrameSeries{}, err
		}
		select {
		case <-time.After(seriesGap):
		case <-ctx.Done():
			return kernel.FrameSeries{}, ctx.Err()
		case <-c.closed:
			return kernel.FrameSeries{}, os.ErrClosed
		}
	}
	return collect(ctx, replies)
}

// answer is what came back for a frame.
type answer struct {
	came    bool
	arrived uint32 // how many requests had arrived there by then; 0: it does not say
}

// collect waits for the replies to a series.
func collect(ctx context.Context, replies []<-chan uint32) (kernel.FrameSeries, error) {
	answers := make([]answer, len(replies))
	waiting, stop := context.WithTimeout(ctx, lastWait)
	defer stop()
	for i, reply := range replies {
		select { // what has come counts, also when the time is over
		case count := <-reply:
			answers[i] = answer{true, count}
			continue
		default:
		}
		select {
		case count := <-reply:
			answers[i] = answer{true, count}
		case <-waiting.Done():
		}
	}
	return sumUp(answers), ctx.Err()
}

// sumUp tells what became of frames by what their replies say. Between two replies the counts say
// how many arrived.
func sumUp(answers []answer) kernel.FrameSeries {
	s := kernel.FrameSeries{Sent: len(answers)}
	first, last := -1, -1
	for i, a := range answers {
		if !a.came {
			continue
		}
		s.Answered++
		if last = i; first < 0 {
			first = i
		}
	}
	if first < 0 || answers[first].arrived == 0 {
		return s
	}
	// More than were sent arrived if the other host began to count anew.
	if arrived := int(answers[last].arrived - answers[first].arrived); arrived <= last-first {
		s.LostThere, s.LostBack = last-first-arrived, max(0, arrived-(s.Answered-1))
	}
	return s
}
