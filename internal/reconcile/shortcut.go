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
	if !f.WantsShortcut() {
		return NoShortcut(host, f.Device.Name)
	}
	// The bridge is to know the containers before it no longer hears of them.
	if err := locals(host, f.Device.Master, f.Shortcut.Ports); err != nil {
		return err
	}
	// A device may go meanwhile, and be seen to be gone the next time.
	var err error
	for range 3 {
		err = errors.Join(outward(host, f), inward(host, f.Shortcut))
		if !errors.Is(err, kernel.ErrNotFound) {
			break
		}
	}
	return err
}

// outward sees to what containers send.
func outward(host Namespace, f plan.Forwarding) error {
	want := f.Shortcut
	have, there, err := host.Shortcut(want.Device)
	if err != nil {
		return err
	}
	if !there || have.Device == "" {
		if want.Ports, err = present(host, want.Ports); err != nil {
			return err
		}
		return host.Apply(kernel.SetShortcut{Shortcut: want})
	}
	c := kernel.ChangeShortcut{Device: want.Device}
	c.Add.Remote, c.Delete.Remote = diffEntries(want.Remote, have.Remote, func(m kernel.MAC) kernel.MAC { return m })
	c.Add.Ports, c.Delete.Ports = diffPorts(want.Ports, have.Ports)
	if c.Add.Ports, err = present(host, c.Add.Ports); err != nil {
		return err
	}
	if f.Partial {
		// What is here cannot be elsewhere.
		c.Delete.Remote = slices.DeleteFunc(c.Delete.Remote, func(m kernel.MAC) bool {
			return !slices.ContainsFunc(want.Ports, func(p kernel.ShortcutPort) bool { return p.MAC == m })
		})
	}
	if len(c.Add.Remote)+len(c.Add.Ports)+len(c.Delete.Remote)+len(c.Delete.Ports) == 0 {
		return nil
	}
	return host.Apply(c)
}

// inward sees to what comes for them.
func inward(host Namespace, want kernel.Shortcut) error {
	have, intact, err := host.Redirects(want.Device)
	if err != nil {
		return err
	}
	if !intact {
		return host.Apply(kernel.SetRedirects{Device: want.Device, Ports: want.Ports})
	}
	add, del := diffPorts(want.Ports, have)
	var changes []kernel.Change
	for _, p := range del {
		changes = append(changes, kernel.DelRedirect{Device: want.Device, MAC: p.MAC})
	}
	for _, p := range add {
		changes = append(changes, kernel.AddRedirect{Device: want.Device, Port: p})
	}
	return apply(host, changes)
}

// locals has the bridge know the MACs behind its ports.
func locals(host Namespace, bridge string, want []kernel.ShortcutPort) error {
	want, err := present(host, want)
	if err != nil {
		return err
	}
	var macs []kernel.MAC
	for _, p := range want {
		macs = append(macs, p.MAC)
	}
	have, err := host.Locals(bridge, macs)
	if err != nil {
		return err
	}
	add, _ := diffPorts(want, have)
	var changes []kernel.Change
	for _, p := range add {
		changes = append(changes, kernel.AddLocal(p))
	}
	return apply(host, changes)
}

// present leaves out ports that are not there: a container's veth goes with the container, before its teardown.
func present(host Namespace, ports []kernel.ShortcutPort) (some []kernel.ShortcutPort, err error) {
	for _, p := range ports {
		_, err := host.Link(p.Name, 0)
		if errors.Is(err, kernel.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		some = append(some, p)
	}
	return some, nil
}

// diffPorts is diffEntries for ports, which are replaced by deletion and addition.
func diffPorts(want, have []kernel.ShortcutPort) (add, del []kernel.ShortcutPort) {
	whole := func(p kernel.ShortcutPort) kernel.ShortcutPort { return p }
	return diffEntries(want, have, whole)
}

// LeaveShortcut has what is for a MAC, and what its port sends, go by the bridge.
func LeaveShortcut(host Namespace, device string, m kernel.MAC) error {
	if m.IsZero() {
		return nil
	}
	return errors.Join(
		host.Apply(kernel.LeaveShortcut{Device: device, MAC: m}),
		host.Apply(kernel.DelRedirect{Device: device, MAC: m}))
}

// NoShortcut removes the shortcut of a VXLAN device, if it has one.
func NoShortcut(host Namespace, device string) error {
	err := NoShortcutOut(host, device)
	have, _, haveErr := host.Redirects(device)
	var changes []kernel.Change
	for _, p := range have {
		changes = append(changes, kernel.DelRedirect{Device: device, MAC: p.MAC})
	}
	return errors.Join(err, haveErr, apply(host, changes))
}

// NoShortcutOut is NoShortcut for a VXLAN device that goes or has gone, and with it what leads from it.
func NoShortcutOut(host Namespace, device string) error {
	_, there, err := host.Shortcut(device)
	if err != nil || !there {
		return err
	}
	return host.Apply(kernel.DelShortcut{Device: device})
}
