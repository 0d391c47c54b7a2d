package survey

import (
	"net/netip"
	"slices"
	"testing"

	"vxlan-driver/internal/doctor"
)

// Of many addresses one of each host is asked first, and others of a host to which a container has talked
// lately if there is room.
func TestWhomToAsk(t *testing.T) {
	on := func(host byte, to ...byte) (all []doctor.Exchange) {
		for _, n := range to {
			e := doctor.Exchange{To: netip.AddrFrom4([4]byte{10, 0, 0, n})}
			if host > 0 {
				e.VTEP = netip.AddrFrom4([4]byte{198, 18, 0, host})
			}
			all = append(all, e)
		}
		return all
	}
	many := on(1, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)
	for name, tt := range map[string]struct {
		known knownAddresses
		want  []byte
	}{
		"nobody is known":  {knownAddresses{}, nil},
		"one of each host": {knownAddresses{talked: append(on(1, 11, 12), on(2, 21)...)}, []byte{11, 21}},
		"the bridge knows more": {knownAddresses{talked: on(1, 11), others: append(on(1, 12), on(2, 21, 22)...)},
			[]byte{11, 21}},
		"talked lately": {knownAddresses{talked: on(1, 11, 12), lately: on(1, 11, 12), others: on(1, 13)},
			[]byte{11, 12}},
		"a busy container": {knownAddresses{talked: many, lately: many, inVain: on(0, 99), others: on(2, 21)},
			[]byte{11, 99, 21, 12, 13, 14, 15, 16}},
	} {
		var got []byte
		for _, e := range tt.known.whomToAsk() {
			got = append(got, e.To.As4()[3])
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
