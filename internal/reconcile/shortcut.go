package reconcile

import (
	"errors"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
)

// Shortcut makes the host hold the forwarding's shortcut, or none where it leads nowhere.
// Forwarding must have made what it leads past.
func Shortcut(host Namespace, f plan.Forwarding) error {
	want := f.Shortcut
	if len(want.Ports) == 0 || len(want.Remote) == 0 && !f.Partial {
		return NoShortcut(host, want.Device)
	}
	have, there, err := host.Shortcut(want.Device)
	if err != nil {
		return err
	}
	if !there || have.Device == "" {
		return errors.Join(keepLocal(host, want.Ports), host.Apply(kernel.SetShortcut{Shortcut: want}))
	}
	c := kernel.ChangeShortcut{Device: want.Device}
	c.Add.Remote, c.Delete.Remote = diffEntries(want.Remote, have.Remote, func(m kernel.MAC) kernel.MAC { return m })
	c.Add.Ports, c.Delete.Ports = diffPorts(want.Ports, have.Ports)
	if f.Partial {
		c.Delete.Remote = nil
	}
	if len(c.Add.Remote)+len(c.Add.Ports)+len(c.Delete.Remote)+len(c.Delete.Ports) == 0 {
		return nil
	}
	return errors.Join(keepLocal(host, c.Add.Ports), host.Apply(c))
}

// diffPorts is diffEntries for ports, of which not all that is there need be whole.
func diffPorts(want, have []kernel.ShortcutPort) (add, del []kernel.ShortcutPort) {
	wanted, there := make(map[kernel.ShortcutPort]bool), make(map[kernel.ShortcutPort]bool)
	for _, p := range want {
		wanted[p] = true
	}
	for _, p := range have {
		there[p] = true
		if !wanted[p] {
			del = append(del, p)
		}
	}
	for _, p := range want {
		if !there[p] {
			add = append(add, p)
		}
	}
	return add, del
}

// keepLocal has the bridge know the containers' MACs. It comes first, since what is
// in the shortcut is not looked at again.
func keepLocal(host Namespace, ports []kernel.ShortcutPort) error {
	var errs []error
	for _, p := range ports {
		// A veth that went with its container is no error.
		if err := host.Apply(kernel.AddLocal(p)); !errors.Is(err, kernel.ErrNotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// LeaveShortcut has what is for a MAC go by the bridge.
func LeaveShortcut(host Namespace, device string, m kernel.MAC) error {
	if m.IsZero() {
		return nil
	}
	return host.Apply(kernel.LeaveShortcut{Device: device, MAC: m})
}

// NoShortcut removes the shortcut of a VXLAN device, if it has one.
func NoShortcut(host Namespace, device string) error {
	_, there, err := host.Shortcut(device)
	if err != nil || !there {
		return err
	}
	return host.Apply(kernel.DelShortcut{Device: device})
}
