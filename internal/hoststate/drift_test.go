package hoststate

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fakekernel"
)

// elementReads counts how often all elements of a firewall are read.
type elementReads struct {
	Namespace
	count *int
}

func (n elementReads) FirewallElements() ([]kernel.Element, error) {
	*n.count++
	return n.Namespace.FirewallElements()
}

// findDrift is the look of an agent's full turn, before it takes the lock.
func findDrift(t *testing.T, h *Host) *FirewallDrift {
	t.Helper()
	drift, err := h.FirewallDrift()
	if err != nil {
		t.Fatal(err)
	}
	return drift
}

// repairDrift is the turn that follows. It returns how often all elements were read under the lock.
func repairDrift(t *testing.T, h *Host, drift *FirewallDrift) (reads int) {
	t.Helper()
	open := h.Open
	defer func() { h.Open = open }()
	h.Open = func(path string) (Namespace, error) {
		ns, err := open(path)
		return elementReads{ns, &reads}, err
	}
	s, err := h.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	networks, err := s.Networks()
	if err != nil {
		t.Fatal(err)
	}
	s.UseDrift(drift)
	if err := s.Reconcile(networks, ScopeVerify); err != nil {
		t.Fatal(err)
	}
	return reads
}

// driftConfig is a network whose containers have elements of the firewall too.
var driftConfig = strings.Replace(testConfig, `"vni": "100"`, `"vni": "100", "port_security": "true"`, 1)

func newHostWithDrift(t *testing.T) (*fakekernel.Kernel, *Host) {
	t.Helper()
	k, h := newTestHost(t)
	connectContainerTo(t, h, driftConfig, 1)
	connectContainerTo(t, h, driftConfig, 2)
	if drift := findDrift(t, h); drift != nil {
		t.Fatalf("nothing was altered, and %+v differs", drift.found.Change)
	}
	return k, h
}

// What FirewallDrift has found is put right without another look at all elements: among 1,000 hosts that
// is 5 ms under the lock.
func TestDriftIsRepairedWithoutAnotherLook(t *testing.T) {
	k, h := newHostWithDrift(t)
	host := k.HostNamespace()
	want := host.Firewall()
	all, err := host.FirewallElements()
	if err != nil {
		t.Fatal(err)
	}
	verify := func(name string) {
		t.Helper()
		if reads := repairDrift(t, h, findDrift(t, h)); reads > 0 {
			t.Errorf("%s: all elements were read %d times under the lock", name, reads)
		}
		if got := host.Firewall(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	apply := func(c kernel.Change) {
		t.Helper()
		if err := host.Apply(c); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range all {
		apply(kernel.DelElements{Elements: []kernel.Element{e}})
		verify("without " + e.String())
	}
	stale := kernel.Element{Set: kernel.Internal, Key: kernel.Device("br-old")}
	apply(kernel.AddElements{Elements: []kernel.Element{stale}})
	verify("with another one")
	host.DeleteElements()
	verify("without most")
	host.FlushRuleset()
	verify("flushed")
}

// If a container came or went since the look, what it has found says nothing any more: the turn looks
// again, and neither takes away what the container has nor adds what it had.
func TestDriftOfOtherRecordsIsNotUsed(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, h *Host){
		"a container came": func(t *testing.T, h *Host) { connectContainerTo(t, h, driftConfig, 2) },
		"a container went": func(t *testing.T, h *Host) {
			id, e := connectContainerTo(t, h, driftConfig, 1)
			if err := disconnectContainer(t, h, id, e); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			k, h := newHostWithDrift(t)
			host := k.HostNamespace()
			if strings.Contains(name, "came") {
				id, e := connectContainerTo(t, h, driftConfig, 2)
				if err := disconnectContainer(t, h, id, e); err != nil {
					t.Fatal(err)
				}
			}
			vtep := elementOf(t, host, kernel.VTEPs4)
			if err := host.Apply(kernel.DelElements{Elements: []kernel.Element{vtep}}); err != nil {
				t.Fatal(err)
			}
			drift := findDrift(t, h)
			change(t, h)
			if reads := repairDrift(t, h, drift); reads != 1 {
				t.Errorf("all elements were read %d times under the lock", reads)
			}
			if left := findDrift(t, h); left != nil {
				t.Errorf("%+v differs", left.found.Change)
			}
		})
	}
}

// What the firewall has of a container that lost its record stays, while the rest is put right.
func TestDriftSparesContainersWithoutRecord(t *testing.T) {
	k, h := newHostWithDrift(t)
	host := k.HostNamespace()
	want := host.Firewall()
	if err := os.Remove(filepath.Join(h.StoreDir, "networks/7c7b/endpoints/c2.json")); err != nil {
		t.Fatal(err)
	}
	if drift := findDrift(t, h); drift != nil {
		t.Errorf("with a record lost, %+v differs", drift.found.Change)
	}
	vtep := elementOf(t, host, kernel.VTEPs4)
	if err := host.Apply(kernel.DelElements{Elements: []kernel.Element{vtep}}); err != nil {
		t.Fatal(err)
	}
	repairDrift(t, h, findDrift(t, h))
	if got := host.Firewall(); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// elementOf returns one of a set's elements.
func elementOf(t *testing.T, host *fakekernel.Namespace, set kernel.Set) kernel.Element {
	t.Helper()
	all, err := host.FirewallElements()
	i := slices.IndexFunc(all, func(e kernel.Element) bool { return e.Set == set })
	if err != nil || i < 0 {
		t.Fatalf("no element of %s: %v", set.Name, err)
	}
	return all[i]
}
