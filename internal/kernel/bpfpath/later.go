package bpfpath

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fastpath"
	"vxlan-driver/internal/kernel/netns"
)

// laterLink is a program that is still to be attached to a link, which had this name.
type laterLink struct {
	pin     string
	index   int
	name    string
	program *ebpf.Program
}

// AttachNext does a part of what Set has left of a VXLAN device's network: it loads the programs, or attaches one
// of them. The kernel takes 10 to 70 ms for that. So whoever calls it holds no lock that the start of a container
// needs. Set goes on from there, and so notices what has changed meanwhile.
func (p *Programs) AttachNext(nspath, device string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mustLoadLater(device) {
		if err := p.load(); err != nil {
			p.setState(device, State{Reason: err.Error()}) // Set tries again: that may be over soon
		}
		return nil
	}
	i := slices.IndexFunc(p.later, func(l laterLink) bool { return l.isOf(p.pins(device)) })
	if i < 0 {
		return nil
	}
	next := p.later[i]
	p.later = slices.Delete(p.later, i, i+1)
	return netns.DoIn(nspath, next.attach)
}

// mustLoadLater tells whether the programs are to be loaded before Set goes on.
func (p *Programs) mustLoadLater(device string) bool {
	return p.AttachLater && p.objects == nil && p.states[device].Reason == ""
}

// attachLater leaves a program to AttachNext.
func (p *Programs) attachLater(pin string, index int, program *ebpf.Program) error {
	name, err := linkName(index)
	if err != nil {
		return err
	}
	p.later = append(p.later, laterLink{pin, index, name, program})
	return kernel.ErrFastPathUnfinished
}

// forgetLater forgets what is left of a network, of which Set takes a look at all.
func (p *Programs) forgetLater(device string) {
	p.later = slices.DeleteFunc(p.later, func(l laterLink) bool { return l.isOf(p.pins(device)) })
}

func (p *Programs) pins(device string) string { return fastpath.NetworkPins(p.layoutDir(), device) }

func (l laterLink) isOf(pins string) bool { return filepath.Dir(l.pin) == pins }

// attach attaches the program, unless the link or the network has gone meanwhile.
func (l laterLink) attach() error {
	if name, err := linkName(l.index); name != l.name {
		return err
	}
	err := attachPinned(l.pin, l.index, l.program)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// linkName returns the name of the link with that index, "" if there is none.
func linkName(index int) (string, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("")
	if err != nil {
		return "", err
	}
	request.SetUint32(uint32(index))
	err = unix.IoctlIfreq(fd, unix.SIOCGIFNAME, request)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
		return "", nil
	}
	return request.Name(), err
}
