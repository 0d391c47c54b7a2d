package agent

import (
	"testing"
	"time"
)

func TestFrameCountsSlide(t *testing.T) {
	type step struct {
		after time.Duration
		add   frameCount // of full frames
		want  frameCount
	}
	const minute = time.Minute
	for name, steps := range map[string][]step{
		"nothing":          {{0, frameCount{}, frameCount{}}},
		"one":              {{0, frameCount{1, 1}, frameCount{1, 1}}, {9 * minute, frameCount{}, frameCount{1, 1}}, {minute, frameCount{}, frameCount{}}},
		"one each minute":  {{0, frameCount{1, 1}, frameCount{1, 1}}, {minute, frameCount{3, 0}, frameCount{4, 1}}, {9 * minute, frameCount{1, 1}, frameCount{4, 1}}},
		"in one slot":      {{0, frameCount{1, 1}, frameCount{1, 1}}, {minute / 2, frameCount{1, 0}, frameCount{2, 1}}},
		"after a long gap": {{0, frameCount{3, 0}, frameCount{3, 0}}, {24 * time.Hour, frameCount{1, 1}, frameCount{1, 1}}, {countedTime, frameCount{}, frameCount{}}},
	} {
		var c frameCounts
		now := time.Now()
		for i, s := range steps {
			now = now.Add(s.after)
			if s.add.sent > 0 {
				c.Add(now, tunnelMeasurement{full: s.add, small: frameCount{sent: s.add.sent}})
			}
			if got := c.Sum(now); got.full != s.want || got.small != (frameCount{sent: s.want.sent}) {
				t.Errorf("%s, step %d: got %+v, want %+v", name, i, got, s.want)
			}
		}
	}
}
