package plugin

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fakekernel"
	"vxlan-driver/internal/netavark"
)

// testNetwork is the documented example.
const testNetwork = `{"name": "vxlan-network", "driver": "vxlan", "id": "7c7b", "network_interface": "br-vxlan-network",
  "options": {"vni": "100", "local_ip": "198.18.0.10", "remote_ips": "198.18.0.11,198.18.0.12",
              "physical_interface": "eth0", "vxlan_port": "4789"},
  "subnets": [{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1"}, {"subnet": "fd00:10::/64", "gateway": "fd00:10::1"}],
  "routes": [{"destination": "10.9.0.0/16", "gateway": "10.0.0.9", "metric": 7}],
  "dns_enabled": true, "internal": false, "ipv6_enabled": true}`

// newFakeHost returns a plugin on a fake host with the underlay interface eth0 and the containers'
// namespaces /ns/1 and /ns/2.
func newFakeHost(t *testing.T) (*fakekernel.Kernel, *Plugin) {
	t.Helper()
	k := fakekernel.New("/ns/1", "/ns/2")
	k.HostNamespace().Add(kernel.Link{
		Name: "eth0", MTU: 1500, Up: true,
		Addrs: []kernel.Addr{{Prefix: netip.MustParsePrefix("198.18.0.10/24")}, {Prefix: netip.MustParsePrefix("fd00:1::10/64")}},
	})
	host := &hoststate.Host{
		Open: func(path string) (hoststate.Namespace, error) {
			ns, err := k.Open(path)
			if err != nil {
				return nil, err
			}
			return ns, nil
		},
		StoreDir:    t.TempDir(),
		NetworksDir: t.TempDir(),
		SysctlDir:   t.TempDir(),
		Zones:       new(fakeZones),
		Warn:        func(message string) { t.Error(message) },
	}
	return k, &Plugin{Host: host, Agent: new(fakeAgent)}
}

// fakeZones is a firewalld. The store's lock keeps its callers apart, but it is a lock of files,
// which the race detector does not see.
type fakeZones struct {
	mu      sync.Mutex
	devices map[string]bool // that it trusts
}

func (z *fakeZones) Trust(device string) error {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.devices == nil {
		z.devices = make(map[string]bool)
	}
	z.devices[device] = true
	return nil
}

func (z *fakeZones) Untrust(device string) error {
	z.mu.Lock()
	defer z.mu.Unlock()
	delete(z.devices, device)
	return nil
}

// request connects container number i with the addresses 10.0.0.(i+1) and fd00:10::(i+1).
func request(config string, i int) (namespace string, r netavark.Request) {
	options := fmt.Sprintf(`{"interface_name": "eth0", "static_ips": ["10.0.0.%d", "fd00:10::%d"]}`, i+1, i+1)
	return fmt.Sprintf("/ns/%d", i), netavark.Request{
		ContainerID:   fmt.Sprintf("c%d", i),
		ContainerName: fmt.Sprintf("container-%d", i),
		Network:       json.RawMessage(config),
		Options:       json.RawMessage(options),
	}
}

// storedFiles returns the files below the plugin's store but the lock.
func storedFiles(t *testing.T, plugin *Plugin) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(plugin.StoreDir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != "lock" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// fakeAgent counts calls, and fails if it is to.
type fakeAgent struct {
	err             error
	announces       bool // it has containers announce their addresses
	assign          func(networkID, containerID string, wanted []netip.Addr) ([]netip.Addr, error)
	define          func(config, proposed []byte) ([]byte, error)
	syncs, notified atomic.Int32
	joining         atomic.Int32
}

func (a *fakeAgent) Joining(string, uint32, uint16, netip.Addr) { a.joining.Add(1) }

func (a *fakeAgent) Sync(string) error { a.syncs.Add(1); return a.err }

func (a *fakeAgent) EndpointAdded(string, string) (bool, error) {
	a.syncs.Add(1)
	return a.announces && a.err == nil, a.err
}

func (a *fakeAgent) AssignAddresses(networkID, containerID string, wanted []netip.Addr) ([]netip.Addr, error) {
	if a.err != nil {
		return nil, a.err
	}
	return a.assign(networkID, containerID, wanted)
}

// Define answers with what was given, unless it is to do otherwise.
func (a *fakeAgent) Define(config, proposed []byte) ([]byte, error) {
	if a.define != nil {
		return a.define(config, proposed)
	}
	return config, a.err
}

func (a *fakeAgent) StoreChanged() { a.notified.Add(1) }
