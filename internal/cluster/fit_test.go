package cluster

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func nothingAnnounced(NetworkKey, string) bool { return false }

// fitNetwork is a network with containers of these ids; those that begin with "claim" only claim
// their address.
func fitNetwork(vni uint32, ids ...string) Membership {
	m := Membership{Network: NetworkKey{VNI: vni, Port: 4789}, VTEP: netip.MustParseAddr("198.18.0.1"), StaticFDB: true}
	for i, id := range ids {
		e := Endpoint{ContainerID: id, Names: []string{id}, Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(vni), byte(i >> 8), byte(i)})}}
		if strings.HasPrefix(id, "claim") {
			e.Names = nil
		}
		m.Endpoints = append(m.Endpoints, e)
	}
	return m
}

// describeFit prints memberships as "vni: id id", with "*" if the host says that it announces all.
func describeFit(memberships []Membership) string {
	var all []string
	for _, m := range memberships {
		var ids []string
		for _, e := range m.Endpoints {
			ids = append(ids, e.ContainerID)
		}
		mark := ""
		if m.StaticFDB {
			mark = "*"
		}
		all = append(all, fmt.Sprintf("%d%s: %s", m.Network.VNI, mark, strings.Join(ids, " ")))
	}
	return strings.Join(all, ", ")
}

func TestFit(t *testing.T) {
	invalidNetwork := fitNetwork(3, "x", "claim1")
	invalidNetwork.HostAddrs = make([]netip.Addr, MaxAddrs+1)
	invalidContainer := fitNetwork(4, "x", "y")
	invalidContainer.Endpoints[0].Addrs = make([]netip.Addr, MaxAddrs+1)
	const left = " containers of the network of VNI %d are not announced to other hosts, " +
		"which do not find their names, and may assign their addresses: "
	const tooMany = left + "a host can announce 4; run some on another host"
	for _, tt := range []struct {
		name      string
		all       []Membership
		announced string
		want      string
		reasons   []string
		claims    bool
	}{
		{name: "all", all: []Membership{fitNetwork(2, "b", "a"), fitNetwork(1, "d", "c")}, want: "1*: c d, 2*: a b"},
		{name: "none"},
		{
			name: "too many", all: []Membership{fitNetwork(1, "a", "b", "c"), fitNetwork(2, "d", "e")},
			want: "1*: a b c, 2: d", reasons: []string{"1" + fmt.Sprintf(tooMany, 2)},
		},
		{
			name: "one more than was announced", all: []Membership{fitNetwork(1, "0", "a", "b", "c"), fitNetwork(2, "d")},
			announced: "a b c d", want: "1: a b c, 2*: d", reasons: []string{"1" + fmt.Sprintf(tooMany, 1)},
		},
		{
			name: "claims come first", all: []Membership{fitNetwork(1, "a", "b", "c"), fitNetwork(2, "claim1", "claim2", "d")},
			announced: "a b c d", want: "1: a b, 2: claim1 claim2",
			reasons: []string{"1" + fmt.Sprintf(tooMany, 1), "1" + fmt.Sprintf(tooMany, 2)},
		},
		{
			name: "too many claims", all: []Membership{fitNetwork(1, "claim1", "claim2", "claim3", "claim4", "claim5")},
			want: "1: claim1 claim2 claim3 claim4", reasons: []string{"1" + fmt.Sprintf(tooMany, 1)}, claims: true,
		},
		{
			name: "an invalid network", all: []Membership{fitNetwork(1, "a"), invalidNetwork, fitNetwork(5, "b")},
			want:    "1*: a, 5*: b",
			reasons: []string{"network of VNI 3 is not announced to other hosts: host address: 17 addresses, at most 16 are allowed"}, claims: true,
		},
		{
			name: "a network twice", all: []Membership{fitNetwork(1, "a"), fitNetwork(1, "b")},
			want: "1*: a", reasons: []string{"network of VNI 1 is not announced to other hosts: two networks have that VNI and port"},
		},
		{
			name: "an invalid container", all: []Membership{invalidContainer}, want: "4: y",
			reasons: []string{fmt.Sprintf("1"+left+"they are not valid; run some on another host", 4)},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wasAnnounced := func(_ NetworkKey, id string) bool { return slices.Contains(strings.Fields(tt.announced), id) }
			got, err := Fit(tt.all, wasAnnounced, 4)
			omitted, _ := errors.AsType[OmittedError](err)
			if describeFit(got) != tt.want || !reflect.DeepEqual(omitted.Reasons, tt.reasons) || omitted.Claims != tt.claims || (err != nil) != (tt.reasons != nil) {
				t.Errorf("got %s, %v, claims %v\nwant %s, %v", describeFit(got), omitted.Reasons, omitted.Claims, tt.want, tt.reasons)
			}
			if err := Check(got); err != nil {
				t.Errorf("the result: %v", err)
			}
			// What is left is announced now, and stays.
			again, _ := Fit(tt.all, func(n NetworkKey, id string) bool {
				return slices.ContainsFunc(got, func(m Membership) bool {
					return m.Network == n && slices.ContainsFunc(m.Endpoints, func(e Endpoint) bool { return e.ContainerID == id })
				})
			}, 4)
			if describeFit(again) != describeFit(got) {
				t.Errorf("then %s", describeFit(again))
			}
		})
	}
}

func TestFitTooManyNetworks(t *testing.T) {
	var all []Membership
	for i := range uint32(MaxMemberships + 2) {
		all = append(all, fitNetwork(i+1, "a"))
	}
	got, err := Fit(all, nothingAnnounced, MaxEndpoints)
	omitted, _ := errors.AsType[OmittedError](err)
	if len(got) != MaxMemberships || len(omitted.Reasons) != 2 || !strings.HasSuffix(omitted.Reasons[0], "network of VNI 257 is not announced to other hosts: a host can announce 256 networks") {
		t.Errorf("%d networks, %v", len(got), omitted.Reasons)
	}
	if err := Check(got); err != nil {
		t.Error(err)
	}
}
