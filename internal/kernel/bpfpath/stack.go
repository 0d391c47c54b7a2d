package bpfpath

import (
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netstack"
)

// Stack is an open network namespace whose fast path has programs.
type Stack struct {
	*netstack.Stack
	path Path
}

// Open opens the namespace at path, or for "" the one that the caller is in.
func (p *Programs) Open(path string) (*Stack, error) {
	ns, err := netstack.OpenWithFastPath(path)
	if err != nil {
		return nil, err
	}
	ns.Pins = p.Dir
	return &Stack{ns, Path{ns.FastPath(), p, ns, path}}, nil
}

// SetFastPath makes a network's fast path what is wanted.
func (ns *Stack) SetFastPath(want kernel.FastPath) error { return ns.path.Set(want) }

// FastPathRemote returns the MACs on other hosts that packets are sent to past the bridge. Of those that
// are wanted it leaves out one that the programs lack, or send elsewhere.
func (ns *Stack) FastPathRemote(want kernel.FastPath) ([]kernel.MAC, error) {
	return ns.path.Remote(want)
}

// RemoveFastPath removes what would outlive a VXLAN device that is about to go or has gone.
func (ns *Stack) RemoveFastPath(device string) error {
	err := ns.Stack.RemoveFastPath(device)
	ns.path.programs.forget(device)
	return err
}
