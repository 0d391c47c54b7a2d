package hoststate

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/kernel/fakekernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/store"
)

// newHostWithOrphans returns a host that knows which namespaces are gone, and keeps its warnings.
func newHostWithOrphans(t *testing.T) (*fakekernel.Kernel, *Host, *[]string) {
	k, h := newTestHost(t)
	h.NamespaceGone = func(path string) bool { _, err := k.Open(path); return err != nil }
	warnings := new([]string)
	h.Warn = func(message string) { *warnings = append(*warnings, message) }
	return k, h, warnings
}

func dropOrphans(t *testing.T, h *Host) {
	t.Helper()
	s, err := h.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.DropOrphans(); err != nil {
		t.Error(err)
	}
}

func recordsOf(t *testing.T, h *Host) (ids []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(h.StoreDir, "networks/*/endpoints/*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		ids = append(ids, strings.TrimSuffix(filepath.Base(f), ".json"))
	}
	return ids
}

// A container whose namespace and port are gone is forgotten with all that it has; one of both
// keeps it.
func TestDropOrphans(t *testing.T) {
	k, h, warnings := newHostWithOrphans(t)
	empty := k.HostNamespace().Links()
	id, first := connectContainer(t, h, 1)
	connectContainer(t, h, 2)
	dropOrphans(t, h)
	k.HostNamespace().Remove(id.Port(first)) // the namespace is there
	dropOrphans(t, h)
	if got := recordsOf(t, h); !slices.Equal(got, []string{"c1", "c2"}) || len(*warnings) > 0 {
		t.Fatalf("left %v, %v", got, *warnings)
	}
	k.RemoveNamespace("/ns/1")
	dropOrphans(t, h)
	if got := recordsOf(t, h); !slices.Equal(got, []string{"c2"}) || len(*warnings) != 1 || !strings.Contains((*warnings)[0], "forget container c1") {
		t.Fatalf("left %v, %v", got, *warnings)
	}
	k.RemoveNamespace("/ns/2")
	dropOrphans(t, h)
	if got := k.HostNamespace().Links(); !reflect.DeepEqual(got, empty) || len(recordsOf(t, h)) > 0 || k.HostNamespace().Firewall() != nil {
		t.Errorf("left %+v, %v, %v", got, recordsOf(t, h), k.HostNamespace().Firewall())
	}
}

// A start that waits for its addresses has a record and no port, and somebody else may not see its
// namespace.
func TestStartThatWaitsForAddressesIsNoOrphan(t *testing.T) {
	k, h, warnings := newHostWithOrphans(t)
	_, e := connectContainer(t, h, 1)
	k.RemoveNamespace("/ns/1")
	for _, tt := range []struct {
		ago  time.Duration
		want []string
	}{{0, []string{"c1"}}, {2 * longestStart, nil}} {
		putRecordWithoutAddrs(t, h, e.ContainerID, e.Namespace, tt.ago)
		dropOrphans(t, h)
		if got := recordsOf(t, h); !slices.Equal(got, tt.want) {
			t.Errorf("after %v: left %v, %v", tt.ago, got, *warnings)
		}
	}
}

// putRecordWithoutAddrs replaces a record by one of a start that began some time ago.
func putRecordWithoutAddrs(t *testing.T, h *Host, containerID, namespace string, ago time.Duration) {
	t.Helper()
	now, err := sinceBoot()
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(store.Record{Endpoint: network.Endpoint{ContainerID: containerID, Namespace: namespace}, SetUp: now - ago})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.StoreDir, "networks/7c7b/endpoints", containerID+".json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A start finds the orphans of its network.
func TestStartDropsOrphans(t *testing.T) {
	k, h, _ := newHostWithOrphans(t)
	connectContainer(t, h, 1)
	k.RemoveNamespace("/ns/1")
	connectContainer(t, h, 2)
	if got := recordsOf(t, h); !slices.Equal(got, []string{"c2"}) {
		t.Errorf("left %v", got)
	}
}

// An empty record is dropped once its port is gone. What another version may have written stays.
func TestEmptyRecordIsDropped(t *testing.T) {
	k, h, _ := newHostWithOrphans(t)
	connectContainer(t, h, 1)
	connectContainer(t, h, 2)
	for id, text := range map[string]string{"c1": "", "c2": `{"Addrs": "of another version"}`} {
		if err := os.WriteFile(filepath.Join(h.StoreDir, "networks/7c7b/endpoints", id+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dropOrphans(t, h)
	if got := recordsOf(t, h); !slices.Equal(got, []string{"c1", "c2"}) {
		t.Errorf("left %v while the ports are there", got)
	}
	k.RemoveNamespace("/ns/1")
	k.RemoveNamespace("/ns/2")
	dropOrphans(t, h)
	if got := recordsOf(t, h); !slices.Equal(got, []string{"c2"}) {
		t.Errorf("left %v", got)
	}
}

// brokenZones is a firewalld that takes nothing.
type brokenZones struct{}

var errZones = errors.New("firewalld is broken")

func (brokenZones) Trust(string) error   { return errZones }
func (brokenZones) Untrust(string) error { return errZones }

// Neither firewalld nor a directory that cannot be written keeps a container from starting, or its
// record from going. Whoever repairs the host hears of it.
func TestOtherProgramsStopNoContainer(t *testing.T) {
	k, h, warnings := newHostWithOrphans(t)
	h.Zones, h.SysctlDir = brokenZones{}, "/proc/none"
	empty := k.HostNamespace().Links()
	id, e := connectContainer(t, h, 1)
	s, err := h.Begin()
	if err != nil {
		t.Fatal(err)
	}
	networks, _ := s.Networks()
	if err := s.Reconcile(networks, ScopeFull); !errors.Is(err, errZones) {
		t.Errorf("reconcile: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := disconnectContainer(t, h, id, e); err != nil {
		t.Error(err)
	}
	if got := k.HostNamespace().Links(); !reflect.DeepEqual(got, empty) || len(recordsOf(t, h)) > 0 {
		t.Errorf("left %+v, %v", got, recordsOf(t, h))
	}
	if len(*warnings) != 2 || !strings.Contains((*warnings)[0], "firewalld is broken") {
		t.Errorf("warned %q", *warnings)
	}
}
