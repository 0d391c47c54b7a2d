package membership

import (
	"reflect"
	"testing"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

func TestPublishedMembershipsAreValid(t *testing.T) {
	n := staticNetwork()
	invalid := &network.Endpoint{ContainerID: "x", MAC: kernel.MAC{1}}
	n.Endpoints = append(n.Endpoints, invalid)
	got, err := cluster.Canonical(Publish([]Network{n}))
	if err != nil || len(got) != 1 || len(got[0].Endpoints) != 1 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if got[0].StaticFDB {
		t.Error("the host says that it has published all MACs")
	}
	if names := got[0].Endpoints[0].Names; !reflect.DeepEqual(names, []string{"web", "www", "abababababab"}) {
		t.Errorf("names %q", names)
	}
}

func TestRequestedAddressIsPublished(t *testing.T) {
	n := gossipNetwork()
	if Publish([]Network{n})[0].Endpoints[0].Requested {
		t.Error("nobody asked for the address")
	}
	n.Endpoints[0].Requested = true
	if !Publish([]Network{n})[0].Endpoints[0].Requested {
		t.Error("that the user asked for the address is not published")
	}
}

// What waits for addresses is no obstacle to a static FDB: it sends nothing yet.
func TestEndpointsThatAwaitAddressesAreNotPublished(t *testing.T) {
	n := gossipNetwork()
	n.Endpoints = append(n.Endpoints, &network.Endpoint{ContainerID: "x"})
	got := Publish([]Network{n})
	if len(got) != 1 || len(got[0].Endpoints) != 1 || !got[0].StaticFDB {
		t.Errorf("got %+v", got)
	}
}
