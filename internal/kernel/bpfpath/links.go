package bpfpath

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"vxlan-driver/internal/kernel/fastpath"
)

// Names of what attaches a network's programs, beside the ports'.
const (
	devicePin   = "device"
	underlayPin = "underlay"
	// wireguardPin is followed by a WireGuard device's name.
	wireguardPin = "wireguard-"
)

// portProgram is attached to containers' ports. The number tells it from others.
type portProgram struct {
	*ebpf.Program
	id ebpf.ProgramID
}

func newPortProgram(program *ebpf.Program) (portProgram, error) {
	info, err := program.Info()
	if err != nil {
		return portProgram{}, err
	}
	id, _ := info.ID()
	return portProgram{program, id}, nil
}

// errNoTCX says that the kernel is too old.
var errNoTCX = errors.New("the kernel has no tcx (Linux 6.6)")

// checkTCX tries to attach a program that does nothing to an interface that cannot be there. A kernel
// that is too old would refuse the real ones for what its verifier does not know yet, and so not tell
// the reason.
func checkTCX() error {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "Apache-2.0", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return fmt.Errorf("load a program that does nothing: %w", err)
	}
	defer program.Close()
	_, err = link.AttachTCX(link.TCXOptions{Interface: math.MaxInt32, Program: program, Attach: ebpf.AttachTCXIngress})
	if errors.Is(err, ebpf.ErrNotSupported) {
		return errNoTCX
	}
	return nil
}

// attach attaches a program to the ingress of the link with that index, and pins what holds it
// there. What is pinned gets the program, and nothing is lost meanwhile.
func (p *Programs) attach(pin string, index int, program *ebpf.Program) error {
	done, err := updatePinned(pin, index, program)
	if done || err != nil {
		return err
	}
	if p.AttachLater {
		return p.attachLater(pin, index, program)
	}
	return attachPinned(pin, index, program)
}

func attachPinned(pin string, index int, program *ebpf.Program) error {
	l, err := newLink(index, program)
	if err != nil {
		return err
	}
	defer l.Close()
	return l.Pin(pin)
}

// detachTime is for how long the kernel may take to detach a program whose pin was removed. It does so
// from a work queue, and a program is attached to a link only once.
const detachTime = time.Second

func newLink(index int, program *ebpf.Program) (l link.Link, err error) {
	for began := time.Now(); time.Since(began) < detachTime; time.Sleep(time.Millisecond) {
		l, err = link.AttachTCX(link.TCXOptions{Interface: index, Program: program, Attach: ebpf.AttachTCXIngress})
		if !errors.Is(err, os.ErrExist) {
			break
		}
	}
	return l, err
}

// updatePinned gives a pinned link the program. One of another index, or of a device that is gone, is
// removed.
func updatePinned(pin string, index int, program *ebpf.Program) (done bool, err error) {
	l, at, err := openPinned(pin)
	if l == nil || err != nil {
		return false, err
	}
	defer l.Close()
	if at != index {
		return false, os.Remove(pin)
	}
	return true, l.Update(program)
}

// openPinned returns a pinned link, and the index of what it is attached to, 0 if that is gone. The
// link is nil if nothing is pinned there.
func openPinned(pin string) (link.Link, int, error) {
	l, err := link.LoadPinnedLink(pin, nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	info, err := l.Info()
	if err != nil {
		l.Close()
		return nil, 0, err
	}
	tcx := info.TCX()
	if tcx == nil {
		return l, 0, nil
	}
	return l, int(tcx.Ifindex), nil
}

// attachPorts attaches the program of containers' ports where it is not. The kernel takes 10 to 20 ms for
// each, on an idle machine of two processors: it waits for all readers, under the lock of all links
// (synchronize_rcu in tcx_link_attach). So nothing is attached twice.
func (p *Programs) attachPorts(device string, t networkTables, program portProgram) error {
	var errs []error
	for index, port := range t.ports {
		if pin := fastpath.PortPin(p.layoutDir(), device, port.Mac); !hasPort(pin, int(index), program) {
			errs = append(errs, p.attach(pin, int(index), program.Program))
		}
	}
	return errors.Join(errs...)
}

// hasPort tells whether the program of a port is attached, and what attaches it is pinned. To open what is
// pinned takes ten times as long.
func hasPort(pin string, index int, program portProgram) bool {
	if _, err := os.Lstat(pin); err != nil {
		return false
	}
	have, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: ebpf.AttachTCXIngress})
	isOurs := func(a link.AttachedProgram) bool { return a.ID == program.id }
	return err == nil && slices.ContainsFunc(have.Programs, isOurs)
}

// attachUnderlay attaches the program of an underlay interface once. All networks on it pin the same
// link, so that it goes with the last of them.
func (p *Programs) attachUnderlay(device string, index int) error {
	own := filepath.Join(p.pins(device), underlayPin)
	done, err := updatePinned(own, index, p.objects.FromUnderlay)
	if done || err != nil {
		return err
	}
	others, err := filepath.Glob(filepath.Join(p.layoutDir(), "networks", "*", underlayPin))
	if err != nil {
		return err
	}
	for _, other := range others {
		if shared, err := sharePin(other, own, index); shared || err != nil {
			return err
		}
	}
	return p.attach(own, index, p.objects.FromUnderlay)
}

// sharePin pins a link a second time, if it is attached there.
func sharePin(other, own string, index int) (shared bool, err error) {
	l, at, err := openPinned(other)
	if l == nil || err != nil {
		return false, err
	}
	defer l.Close()
	if at != index {
		return false, nil
	}
	info, err := l.Info()
	if err != nil {
		return false, err
	}
	again, err := link.NewFromID(info.ID) // to pin l would move its pin
	if err != nil {
		return false, err
	}
	defer again.Close()
	return true, again.Pin(own)
}
