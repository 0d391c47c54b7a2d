package tunnelprobe

import (
	"testing"

	"vxlan-driver/internal/kernel"
)

func TestSumUp(t *testing.T) {
	none := answer{}
	of := func(arrived uint32) answer { return answer{true, arrived} }
	for _, tt := range []struct {
		name    string
		answers []answer
		want    kernel.FrameSeries
	}{
		{"nothing is lost", []answer{of(7), of(8), of(9)}, kernel.FrameSeries{Sent: 3, Answered: 3}},
		{"there", []answer{of(7), none, of(8)}, kernel.FrameSeries{Sent: 3, Answered: 2, LostThere: 1}},
		{"back", []answer{of(7), none, of(9)}, kernel.FrameSeries{Sent: 3, Answered: 2, LostBack: 1}},
		{"both", []answer{of(1), none, none, of(3)}, kernel.FrameSeries{Sent: 4, Answered: 2, LostThere: 1, LostBack: 1}},
		{"at the ends", []answer{none, of(5), of(6), none}, kernel.FrameSeries{Sent: 4, Answered: 2}},
		{"an early version does not say", []answer{of(0), none, of(0)}, kernel.FrameSeries{Sent: 3, Answered: 2}},
		{"the count wraps", []answer{of(1<<32 - 1), none, of(1)}, kernel.FrameSeries{Sent: 3, Answered: 2, LostBack: 1}},
		{"it began anew", []answer{of(9), of(1)}, kernel.FrameSeries{Sent: 2, Answered: 2}},
		{"all", []answer{none, none}, kernel.FrameSeries{Sent: 2}},
	} {
		if got := sumUp(tt.answers); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
