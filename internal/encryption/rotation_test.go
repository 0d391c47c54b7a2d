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

func own(sends, announced uint64, generations ...uint64) (k hostKeys) {
	k.Sends, k.Announced = sends, announced
	for i, g := range generations {
		k.Keys = append(k.Keys, hostKey{Generation: g, Slot: i})
	}
	return k
}

func TestNextStep(t *testing.T) {
	const tooFar = 3 + maxJump + 1
	tests := []struct {
		name string
		s    situation
		want step
	}{
		{"the first host", situation{}, step{make: []uint64{1}}},
		{"joins others", situation{others: []otherHost{host(true, 7, 7), host(true, 7, 7)}}, step{make: []uint64{7}}},
		{"joins while others rotate", situation{others: []otherHost{host(true, 7, 7), host(true, 7, 7, 8)}},
			step{make: []uint64{7, 8}}},
		{"joins at the end of that", situation{others: []otherHost{host(true, 8, 7, 8), host(true, 8, 8)}},
			step{make: []uint64{8}}},
		{"joins others that were cut off from each other", situation{others: []otherHost{host(true, 3, 3), host(true, 5, 5)}},
			step{make: []uint64{5}}},
		{"joins, and one host is beyond belief", situation{others: []otherHost{host(true, 3, 3), host(true, tooFar, tooFar)}},
			step{make: []uint64{3}}},
		{"joins hosts that have no keys yet", situation{others: []otherHost{{}}}, step{make: []uint64{1}}},

		{"nothing to do", situation{own: own(3, 3, 3), ready: 3, others: []otherHost{host(true, 3, 3)}}, step{}},
		{"is to rotate", situation{own: own(3, 3, 3), ready: 3, rotate: true}, step{make: []uint64{4}}},
		{"another host rotates", situation{own: own(3, 3, 3), ready: 3, others: []otherHost{host(false, 3, 3, 4)}},
			step{make: []uint64{4}}},
		{"is to rotate as another does", situation{own: own(3, 3, 3), rotate: true,
			others: []otherHost{host(false, 3, 3, 4)}}, step{make: []uint64{4}}},
		{"is far behind", situation{own: own(3, 3, 3), others: []otherHost{host(false, 9, 9)}}, step{make: []uint64{9}}},
		{"another host is beyond belief", situation{own: own(3, 3, 3), others: []otherHost{host(false, tooFar, tooFar)}},
			step{}},
		{"is at the last generation", situation{own: own(cluster.MaxGeneration, cluster.MaxGeneration, cluster.MaxGeneration),
			rotate: true}, step{}},
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

		{"nobody sends by the earlier key", situation{own: own(4, 4, 3, 4), ready: 4,
			others: []otherHost{host(true, 4, 3, 4), host(true, 4, 4)}}, step{drop: 3}},
		{"somebody does", situation{own: own(4, 4, 3, 4), ready: 4,
			others: []otherHost{host(true, 4, 4), host(true, 3, 3, 4)}}, step{}},
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
