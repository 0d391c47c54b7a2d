package bpfpath

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/fastpath"
)

// layout names the directory of the pinned tables. With the meaning of a table's values it must change, or the table's
// name, so that programs of two versions never share one. Until the new version has set up everything, packets go
// without programs.
const layout = "3"

// Programs are the programs and tables of a host. An agent has one value of it, since tables are
// opened once. The zero value is ready.
type Programs struct {
	// Dir is where they are pinned, as fastpath.NamespacePins says.
	Dir string
	// AttachLater leaves to AttachNext what takes the kernel long.
	AttachLater bool

	leaveAggregates bool // as before Linux 7.3, for tests

	mu      sync.Mutex
	objects *programsObjects // nil: not loaded
	later   []laterLink      // in their order
	// fromContainer is for ports of networks that are not encrypted, and fromEncrypted for those of others.
	fromContainer, fromEncrypted portProgram
	peers                        *peerTable
	states                       map[string]State  // by VXLAN device
	devices                      map[string]uint32 // the indexes of these
	// counted is what tables had counted that are gone, by the device's index.
	counted map[uint32]programsCounters
	// exits are how packets of encrypted networks leave, by the index of the VXLAN device.
	exits map[uint32]exit
	// takesIP are the WireGuard devices whose IP packets are taken, by the name of the network's VXLAN device.
	takesIP map[string][]string
	// leaseEnd is until when the programs take packets, in jiffies.
	leaseEnd uint64
	// followed are the VXLAN devices, by index, of which remotes has had all that is wanted since it was opened.
	followed map[uint32]bool
	// networks are how VXLAN devices wrap, by index.
	networks map[uint32]programsNetwork
	// hops are the hosts whose next hop is in the table, or known to be none: the MTU of the route, 0 if it
	// has none of its own.
	hops       map[peerKey]uint32
	routeMTUs  map[uint32]uint32 // the lowest of a network's routes, by the device's index
	hopsEra    int
	hopsWanted chan struct{} // of FollowRoutes
}

// State says how the packets of a network go.
type State struct {
	// Attached tells that the programs take them.
	Attached bool
	// PortSecurity tells that they check who sends. Nothing else takes packets then.
	PortSecurity bool
	// Reason says why not.
	Reason string
	// LeftOut is how many of this host's containers the programs leave to the other ways, and LeftOutReason
	// why they do so with one of these.
	LeftOut       int
	LeftOutReason string
}

// State returns the state of a VXLAN device's network.
func (p *Programs) State(device string) State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.states[device]
}

// noteDevice notes the index of a VXLAN device, by which the tables know it.
func (p *Programs) noteDevice(device string, index uint32) {
	if p.devices == nil {
		p.devices = make(map[string]uint32)
	}
	p.devices[device] = index
}

func (p *Programs) setState(device string, s State) {
	if p.states == nil {
		p.states = make(map[string]State)
	}
	p.states[device] = s
}

func (p *Programs) layoutDir() string { return filepath.Join(p.Dir, layout) }

// RemovePinned removes the programs and tables that an earlier agent has left.
func (p *Programs) RemovePinned() error { return fastpath.RemoveAllPinned(p.Dir) }

// isPinned tells whether the tables are those that are pinned. A plugin removes them with the host's
// last network.
func (p *Programs) isPinned() bool {
	pinned, err := ebpf.LoadPinnedMap(filepath.Join(p.layoutDir(), fastpath.PinnedLocals), nil)
	if err != nil {
		return false
	}
	defer pinned.Close()
	return sameMap(pinned, p.objects.Locals)
}

func sameMap(a, b *ebpf.Map) bool {
	infoA, errA := a.Info()
	infoB, errB := b.Info()
	if errA != nil || errB != nil {
		return false
	}
	idA, okA := infoA.ID()
	idB, okB := infoB.ID()
	return okA && okB && idA == idB
}

// release closes the tables if nothing is pinned any more.
func (p *Programs) release() {
	if p.objects != nil && !p.isPinned() {
		for _, device := range p.devices {
			p.keepCounters(device)
		}
		p.objects.Close()
		p.objects, p.peers, p.later = nil, nil, nil
	}
}

// forget forgets a network whose pins were removed.
func (p *Programs) forget(device string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.states, device)
	delete(p.devices, device)
	delete(p.takesIP, device)
	p.release()
}

// load loads the programs, and takes over the tables of an earlier agent.
func (p *Programs) load() error {
	p.release()
	if p.objects != nil {
		return nil
	}
	if err := checkTCX(); err != nil {
		return err
	}
	if err := ensureFileSystem(filepath.Dir(filepath.Dir(p.Dir))); err != nil {
		return err
	}
	if err := errors.Join(p.removeOtherLayouts(), p.removeGoneNamespaces()); err != nil {
		return err
	}
	objects, err := p.loadPinned()
	if errors.Is(err, ebpf.ErrMapIncompatible) {
		if err := os.RemoveAll(p.layoutDir()); err != nil {
			return err
		}
		objects, err = p.loadPinned()
	}
	if err != nil {
		return err
	}
	remotes, err := dump[programsStation, programsRemote](objects.Remotes)
	if err != nil {
		objects.Close()
		return err
	}
	if err := p.notePortPrograms(objects); err != nil {
		objects.Close()
		return err
	}
	p.objects, p.peers = objects, newPeerTable(remotes)
	p.networks, p.hops, p.routeMTUs, p.leaseEnd = make(map[uint32]programsNetwork), nil, nil, 0
	p.followed, p.exits = make(map[uint32]bool), make(map[uint32]exit)
	if err := errors.Join(p.dropEarlierHops(), p.dropIfExpired()); err != nil {
		objects.Close()
		p.objects, p.peers = nil, nil
		return err
	}
	return nil
}

func (p *Programs) notePortPrograms(objects *programsObjects) (err error) {
	if p.fromContainer, err = newPortProgram(objects.FromContainer); err != nil {
		return err
	}
	p.fromEncrypted, err = newPortProgram(objects.FromEncrypted)
	return err
}

func (p *Programs) loadPinned() (*programsObjects, error) {
	spec, err := newSpec(!p.leaveAggregates && canTakeAggregates())
	if err != nil {
		return nil, err
	}
	for name, m := range spec.Maps {
		if !strings.HasPrefix(name, ".") { // constants are of these programs alone
			m.Pinning = ebpf.PinByName
		}
	}
	if err := os.MkdirAll(filepath.Join(p.layoutDir(), "networks"), 0o700); err != nil {
		return nil, err
	}
	objects := new(programsObjects)
	err = spec.LoadAndAssign(objects, &ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: p.layoutDir()}})
	return objects, err
}

// ensureFileSystem mounts the BPF file system where it is not, as it is without systemd.
func ensureFileSystem(dir string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("find the BPF file system at %s: %w", dir, err)
	}
	if fs.Type == unix.BPF_FS_MAGIC {
		return nil
	}
	if err := unix.Mount("bpf", dir, "bpf", 0, "mode=0700"); err != nil {
		return fmt.Errorf("mount the BPF file system at %s: %w", dir, err)
	}
	return nil
}
