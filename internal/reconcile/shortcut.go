package reconcile

import (
	"errors"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
)

// Shortcut makes the host hold the forwarding's shortcut, or none where it leads nowhere.
// Forwarding must have made what it leads past.
func Shortcut(host Namespace, f plan.Forwarding) error {
	if !f.WantsFastPath() {
		return NoShortcut(host, f.Device.Name)
	}
	// A device may go meanwhile, and be seen to be gone the next time.
	var err error
	for range 3 {
		if err = shortcut(host, f); !errors.Is(err, kernel.ErrNotFound) {
			break
		}
	}
	return err
}

func shortcut(host Namespace, f plan.Forwarding) error {
	var err error
	if f.FastPath.Ports, err = present(host, f); err != nil {
		return err
	}
	// The bridge is to know the containers before it no longer hears of them.
	if err := locals(host, f.Device.Master, f.FastPath.Ports); err != nil {
		return err
	}
	return errors.Join(outward(host, f), inward(host, f.FastPath))
}

// outward sees to what containers send.
func outward(host Namespace, f plan.Forwarding) error {
	want := f.FastPath
	have, there, err := host.FastPath(want.Device)
	if err != nil {
		return err
	}
	if !there || have.Device == "" {
		return host.Apply(kernel.SetFastPath{FastPath: want})
	}
	c := kernel.ChangeFastPath{Device: want.Device}
	c.Add.Remote, c.Delete.Remote = diffEntries(want.Remote, have.Remote, func(m kernel.MAC) kernel.MAC { return m })
	c.Add.Ports, c.Delete.Ports = diffPorts(want.Ports, have.Ports)
	if f.Partial {
		// What is here cannot be elsewhere.
		c.Delete.Remote = slices.DeleteFunc(c.Delete.Remote, func(m kernel.MAC) bool {
			return !slices.ContainsFunc(want.Ports, func(p kernel.FastPathPort) bool { return p.MAC == m })
		})
	}
	if len(c.Add.Remote)+len(c.Add.Ports)+len(c.Delete.Remote)+len(c.Delete.Ports) == 0 {
		return nil
	}
	return host.Apply(c)
}

// inward sees to what comes for them.
func inward(host Namespace, want kernel.FastPath) error {
	have, intact, err := host.Redirects(want.Device)
	if err != nil {
		return err
	}
	if !intact {
		return host.Apply(kernel.SetRedirects{Device: want.Device, Ports: want.Ports})
	}
	add, del := diffPorts(want.Ports, have)
	changes := without(want.Device, del)
	for _, p := range add {
		changes = append(changes, kernel.AddRedirect{Device: want.Device, Port: p})
	}
	return apply(host, changes)
}

// without takes ports out of what leads to them, and what the bridge was told of their MACs.
func without(device string, ports []kernel.FastPathPort) (changes []kernel.Change) {
	for _, p := range ports {
		changes = append(changes, kernel.DelRedirect{Device: device, MAC: p.MAC})
		if p.Name != "" {
			changes = append(changes, kernel.DelStatic(p))
		}
	}
	return changes
}

// locals has the bridge know the MACs behind its ports.
func locals(host Namespace, bridge string, want []kernel.FastPathPort) error {
	var macs []kernel.MAC
	for _, p := range want {
		macs = append(macs, p.MAC)
	}
	have, err := host.StickyEntries(bridge, macs)
	if err != nil {
		return err
	}
	add, _ := diffPorts(want, have)
	var changes []kernel.Change
	for _, p := range add {
		changes = append(changes, kernel.AddSticky(p))
	}
	return apply(host, changes)
}

// present leaves out ports that are not there, on the bridge: a container's veth goes with the container, before its
// teardown, and another container may have got the name since.
func present(host Namespace, f plan.Forwarding) (some []kernel.FastPathPort, err error) {
	for _, p := range f.FastPath.Ports {
		l, err := host.Link(p.Name, 0)
		if err != nil && !errors.Is(err, kernel.ErrNotFound) {
			return nil, err
		}
		if err == nil && l.Alias == f.Aliases[p.MAC] && l.Master == f.Device.Master {
			some = append(some, p)
		}
	}
	return some, nil
}

// diffPorts is diffEntries for ports, which are replaced by deletion and addition.
func diffPorts(want, have []kernel.FastPathPort) (add, del []kernel.FastPathPort) {
	whole := func(p kernel.FastPathPort) kernel.FastPathPort { return p }
	return diffEntries(want, have, whole)
}

// EvictFastPath has what is for a MAC, and what its port sends, go by the bridge.
func LeaveShortcut(host Namespace, device string, m kernel.MAC) error {
	if m.IsZero() {
		return nil
	}
	return errors.Join(
		host.Apply(kernel.EvictFastPath{Device: device, MAC: m}),
		host.Apply(kernel.DelRedirect{Device: device, MAC: m}))
}

// LeavePort is EvictFastPath for a port that stays, and whose MAC the bridge is to forget.
func LeavePort(host Namespace, device string, p kernel.FastPathPort) error {
	if p.MAC.IsZero() {
		return nil
	}
	return errors.Join(LeaveShortcut(host, device, p.MAC), host.Apply(kernel.DelStatic(p)))
}

// NoFastPath removes the shortcut of a KindVXLAN device, if it has one.
func NoShortcut(host Namespace, device string) error {
	err := NoShortcutOut(host, device)
	have, _, haveErr := host.Redirects(device)
	return errors.Join(err, haveErr, apply(host, without(device, have)))
}

// NoShortcutOut is NoFastPath for a KindVXLAN device that goes or has gone, and with it what leads from it.
func NoShortcutOut(host Namespace, device string) error {
	_, there, err := host.FastPath(device)
	if err != nil || !there {
		return err
	}
	return host.Apply(kernel.DelFastPath{Device: device})
}
