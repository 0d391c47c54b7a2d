package encryption

import (
	"reflect"
	"testing"

	"vxlan-driver/internal/cluster"
)

// host returns what is known of a host that sends by the first generation, which has answered by the one
// that is last in its list if shaken.
func host(shaken bool, sends uint64, generations ...uint64) otherHost {
	var o otherHost
	for _, g := range generations {
		o.keys = append(o.keys, cluster.TunnelKey{Generation: g, Public: [32]byte{1}, Port: 1, Sends: g == sends})
		if shaken {
			o.shaken = g
		}
	}
	return o
}

func silent(o otherHost) otherHost {
	o.silent = true
	return o
}

func away(o otherHost) otherHost {
	o.away = true
	return o
}

func own(sends, announced uint64, generations ...uint64) (k hostKeys) {
	k.Sends, k.Announced = sends, announced
	for i, g := range generations {
		k.Keys = append(k.Keys, hostKey{Generation: g, Slot: i})
	}
	return k
}

func TestNextStep(t *testing.T) {
	const top = cluster.MaxGeneration
	tests := []struct {
		name string
		s    situation
		want step
	}{
		{"the first host", situation{}, step{make: []uint64{1}, send: 1}},
		{"joins others", situation{others: []otherHost{host(true, 7, 7), host(true, 7, 7)}},
			step{make: []uint64{7}, send: 7}},
		{"joins while others rotate", situation{others: []otherHost{host(true, 7, 7), host(true, 7, 7, 8)}},
			step{make: []uint64{7, 8}, send: 7}},
		{"joins while all others have both keys, and send by the earlier one",
			situation{others: []otherHost{host(true, 7, 7, 8), host(true, 7, 7, 8)}}, step{make: []uint64{7, 8}, send: 7}},
		{"joins as one still sends by the earlier one", situation{others: []otherHost{host(true, 8, 7, 8), host(true, 8, 8),
			host(true, 7, 7, 8)}}, step{make: []uint64{7, 8}, send: 8}},
		{"joins at the end of that", situation{others: []otherHost{host(true, 8, 7, 8), host(true, 8, 8)}},
			step{make: []uint64{8}, send: 8}},
		{"joins others that were cut off from each other", situation{others: []otherHost{host(true, 3, 3), host(true, 5, 5),
			host(true, 5, 5)}}, step{make: []uint64{3, 5}, send: 5}},
		{"joins, and one host has gone long ago", situation{others: []otherHost{away(host(true, 3, 3)), host(true, 5, 5)}},
			step{make: []uint64{5}, send: 5}},
		{"joins, and no host answers", situation{others: []otherHost{away(host(true, 3, 3))}},
			step{make: []uint64{3}, send: 3}},
		{"joins as the numbers begin anew", situation{others: []otherHost{host(true, top, top, 1), host(true, top, top)}},
			step{make: []uint64{top, 1}, send: top}},
		{"joins hosts that have no keys yet", situation{others: []otherHost{{}}}, step{make: []uint64{1}, send: 1}},

		{"nothing to do", situation{own: own(3, 3, 3), ready: 3, others: []otherHost{host(true, 3, 3)}}, step{}},
		{"is to rotate", situation{own: own(3, 3, 3), ready: 3, rotate: true}, step{make: []uint64{4}}},
		{"another host rotates", situation{own: own(3, 3, 3), ready: 3, others: []otherHost{host(false, 3, 3, 4)}},
			step{make: []uint64{4}}},
		{"is to rotate as another does", situation{own: own(3, 3, 3), rotate: true,
			others: []otherHost{host(false, 3, 3, 4)}}, step{make: []uint64{4}}},
		{"is far behind", situation{own: own(3, 3, 3), others: []otherHost{host(false, 9, 9)}}, step{make: []uint64{9}}},
		{"another host is ahead by half of all numbers", situation{own: own(3, 3, 3),
			others: []otherHost{host(false, 3+top/2, 3+top/2)}}, step{make: []uint64{3 + top/2}}},
		{"another host is behind by as much", situation{own: own(3+top/2, 3+top/2, 3+top/2),
			others: []otherHost{host(false, 3, 3)}}, step{}},
		{"another host is ahead by more", situation{own: own(3, 3, 3), others: []otherHost{host(false, top, top)}}, step{}},
		{"is at the highest generation", situation{own: own(top, top, top), rotate: true}, step{make: []uint64{1}}},
		{"another host has gone on from there", situation{own: own(top, top, top),
			others: []otherHost{host(false, 1, 1)}}, step{make: []uint64{1}}},
		{"is behind that", situation{own: own(top-5, top-5, top-5), others: []otherHost{host(false, top, top),
			host(false, 2, 2)}}, step{make: []uint64{2}}},
		{"a third generation waits", situation{own: own(3, 3, 3, 4), ready: 4, others: []otherHost{host(false, 5, 3, 5)}},
			step{}},

		{"all have answered", situation{own: own(3, 3, 3, 4), ready: 4,
			others: []otherHost{host(true, 3, 3, 4), host(true, 4, 3, 4)}}, step{send: 4}},
		{"one has not answered", situation{own: own(3, 3, 3, 4), ready: 4,
			others: []otherHost{host(true, 3, 3, 4), host(false, 3, 3, 4)}}, step{}},
		{"one has no later key", situation{own: own(3, 3, 3, 4), ready: 4,
			others: []otherHost{host(true, 3, 3, 4), host(true, 3, 3)}}, step{}},
		{"that one is silent", situation{own: own(3, 3, 3, 4), ready: 4,
			others: []otherHost{host(true, 3, 3, 4), silent(host(true, 3, 3))}}, step{send: 4}},
		{"one was never reached by the earlier key", situation{own: own(3, 3, 3, 4), ready: 4, others: []otherHost{host(false,
			9, 9)}}, step{send: 4}},
		{"the device is not ready", situation{own: own(3, 3, 3, 4), ready: 3}, step{}},
		{"a host does not follow for long", situation{own: own(3, 3, 3, 4), ready: 4, slow: true, overdue: true,
			others: []otherHost{host(true, 3, 3, 4), host(false, 3, 3)}}, step{send: 4}},
		{"no host does", situation{own: own(3, 3, 3, 4), ready: 4, slow: true, overdue: true,
			others: []otherHost{host(false, 3, 3, 4), host(false, 3, 3)}}, step{}},
		{"was away while the others went on without one", situation{own: own(3, 3, 3, 4), ready: 4, slow: true,
			others: []otherHost{host(true, 4, 4), host(false, 3, 3)}}, step{send: 4}},
		{"has just made the later key then", situation{own: own(3, 3, 3, 4), ready: 4,
			others: []otherHost{host(true, 4, 4), host(false, 3, 3)}}, step{}},
		{"would lose more hosts than it gains", situation{own: own(3, 3, 3, 4), ready: 4, slow: true,
			others: []otherHost{host(true, 4, 4), host(false, 3, 3), host(false, 3, 3)}}, step{}},
		{"another host has gone to another key", situation{own: own(3, 3, 3, 4), ready: 4, slow: true,
			others: []otherHost{host(false, 3, 3, 5)}}, step{drop: 4, make: []uint64{5}}},
		{"the others have gone to two other keys", situation{own: own(3, 3, 3, 4), ready: 4, slow: true,
			others: []otherHost{host(true, 3, 3), host(true, 3, 3, 5),
				host(true, 3, 3, 3+top/2)}}, step{drop: 4, make: []uint64{3 + top/2}}},
		{"it may only be slow", situation{own: own(3, 3, 3, 4), ready: 4, others: []otherHost{host(false, 3, 3, 5)}}, step{}},
		{"somebody sends by the later key already", situation{own: own(3, 3, 3, 4), ready: 4, slow: true,
			others: []otherHost{host(false, 3, 3, 5), host(true, 4, 3, 4)}}, step{}},
		{"from the highest generation to the first", situation{own: own(top, top, top, 1), ready: 1, slow: true,
			others: []otherHost{host(true, top, top, 1)}}, step{send: 1}},

		{"nobody sends by the earlier key", situation{own: own(4, 4, 3, 4), ready: 4,
			others: []otherHost{host(true, 4, 3, 4), host(true, 4, 4)}}, step{drop: 3}},
		{"somebody does", situation{own: own(4, 4, 3, 4), ready: 4,
			others: []otherHost{host(true, 4, 4), host(true, 3, 3, 4)}}, step{}},
		{"the others go elsewhere, and cannot be reached", situation{own: own(4, 4, 3, 4), ready: 4, slow: true,
			others: []otherHost{host(true, 3, 3, 5)}}, step{drop: 3}},
		{"one of two does", situation{own: own(4, 4, 3, 4), ready: 4, slow: true,
			others: []otherHost{host(true, 3, 3, 5), host(true, 3, 3, 4)}}, step{}},
		{"it may only be about to follow", situation{own: own(4, 4, 3, 4), ready: 4,
			others: []otherHost{host(true, 3, 3, 5)}}, step{}},
		{"somebody has for long", situation{own: own(4, 4, 3, 4), ready: 4, slow: true, overdue: true,
			others: []otherHost{host(true, 4, 4), host(true, 3, 3, 4)}}, step{drop: 3}},
		{"nobody sends by the highest generation", situation{own: own(1, 1, top, 1), ready: 1,
			others: []otherHost{host(true, 1, top, 1)}}, step{drop: top}},
		{"somebody is about to", situation{own: own(4, 4, 3, 4), ready: 4, others: []otherHost{host(true, 2, 2, 3)}}, step{}},
		{"somebody silent does", situation{own: own(4, 4, 3, 4), ready: 4, others: []otherHost{silent(host(true, 3, 3, 4))}},
			step{drop: 3}},
		{"own entries lead to the earlier device", situation{own: own(4, 3, 3, 4), ready: 4, others: []otherHost{host(true, 4,
			3, 4)}}, step{}},
		{"a host that does not say by what it sends", situation{own: own(4, 4, 3, 4), ready: 4, others: []otherHost{host(true,
			0, 3, 4)}}, step{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.s.next(); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// All hosts that see the same generations choose the same one, wherever on the circle these are.
func TestLatestGeneration(t *testing.T) {
	const top = cluster.MaxGeneration
	for _, tt := range []struct {
		want uint64
		of   []uint64
	}{
		{7, []uint64{7}}, {8, []uint64{7, 8}}, {9, []uint64{9, 3, 8}},
		{1, []uint64{top, 1}}, {3, []uint64{top - 1, 3, top, 2}},
		{1 << 31, []uint64{1, 1 << 31}}, {1, []uint64{1, 1<<31 + 1}}, // the way round is shorter
		{top, []uint64{top / 3, top / 3 * 2, top}}, // all gaps are the same
	} {
		for range tt.of {
			tt.of = append(tt.of[1:], tt.of[0])
			if got := latest(tt.of); got != tt.want {
				t.Errorf("of %d: %d, want %d", tt.of, got, tt.want)
			}
		}
	}
	if following(7) != 8 || following(top) != 1 {
		t.Errorf("after 7 comes %d, and after the highest one %d", following(7), following(top))
	}
}
