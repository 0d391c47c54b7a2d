package reconcile

import (
	"errors"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
)

// ensureFastPath makes the host hold the forwarding's fast path, or none where it leads nowhere. The
// entries that it leads past must be there. It tells why the kernel has none, if that is so.
func ensureFastPath(host Namespace, f plan.Forwarding) (unsupported, err error) {
	err = setFastPath(host, f)
	if errors.Is(err, kernel.ErrNoFastPath) {
		return err, removeFastPath(host, f.Device.Name)
	}
	return nil, err
}

func setFastPath(host Namespace, f plan.Forwarding) error {
	if !f.WantsFastPath() {
		return removeFastPath(host, f.Device.Name)
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
	return applyAll(host, changes)
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
	return applyAll(host, changes)
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

// evictFastPath has what is for a MAC, and what its port sends, go by the bridge.
func evictFastPath(host Namespace, m plan.FastPathMember) error {
	if m.MAC.IsZero() {
		return nil
	}
	return errors.Join(
		host.Apply(kernel.EvictFastPath{Device: m.Device, MAC: m.MAC}),
		host.Apply(kernel.DelRedirect{Device: m.Device, MAC: m.MAC}))
}

// removeFastPath removes the fast path of a VXLAN device, if it has one.
func removeFastPath(host Namespace, device string) error {
	err := removeFastPathTable(host, device)
	have, _, haveErr := host.Redirects(device)
	return errors.Join(err, haveErr, applyAll(host, without(device, have)))
}

// removeFastPathTable is removeFastPath for a VXLAN device that goes or has gone, and with it what leads from it.
func removeFastPathTable(host Namespace, device string) error {
	_, there, err := host.FastPath(device)
	if err != nil || !there {
		return err
	}
	return host.Apply(kernel.DelFastPath{Device: device})
}
