package repairs

import (
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
)

// Watch returns a namespace whose changes the log sees.
func (l *Log) Watch(ns hoststate.Namespace) hoststate.Namespace { return watched{ns, l} }

// watched is a namespace that is watched.
type watched struct {
	hoststate.Namespace
	log *Log
}

// Apply makes a change. One that fails repairs nothing.
func (w watched) Apply(c kernel.Change) error {
	_, setsRules := c.(kernel.SetFirewall)
	if setsRules {
		w.readElements()
		w.log.noteOwnRules() // the kernel reports it before Apply returns
	}
	err := w.Namespace.Apply(c)
	if setsRules {
		w.log.noteOwnRules()
	}
	if err == nil {
		w.log.noteChange(c)
	}
	return err
}

// SetPort sets how a bridge treats its port.
func (w watched) SetPort(name string, f kernel.PortFlags) error {
	err := w.Namespace.SetPort(name, f)
	if err == nil {
		w.log.noteChange(setPort{kernel.SetMaster{Name: name}, f})
	}
	return err
}

// FirewallIntact tells whether the firewall has this program's rules.
func (w watched) FirewallIntact() (bool, error) {
	intact, err := w.Namespace.FirewallIntact()
	if err == nil && !intact {
		other, otherErr := w.FirewallOfOtherVersion()
		w.log.note(func(o *observed) { o.rulesLost = o.rulesLost || otherErr == nil && !other })
	}
	return intact, err
}

// FirewallElements returns the elements that the firewall has.
func (w watched) FirewallElements() ([]kernel.Element, error) {
	elements, err := w.Namespace.FirewallElements()
	if err == nil {
		w.log.noteElements(elements)
	}
	return elements, err
}

// readElements reads what the firewall has before it is set anew, unless it has lost its rules or was
// read for this turn. What cannot be read is no repair.
func (w watched) readElements() {
	needed := false
	w.log.note(func(o *observed) {
		if !o.elementsRead && w.log.lastRead != nil {
			o.elements, o.elementsRead = *w.log.lastRead, true
		}
		needed = !o.rulesLost && !o.elementsRead
	})
	if needed {
		_, _ = w.FirewallElements()
	}
}

// ChangeForwardingTables changes entries.
func (w watched) ChangeForwardingTables(c kernel.ForwardingChanges) error {
	err := w.Namespace.ChangeForwardingTables(c)
	if err == nil {
		w.log.noteEntries(c)
	}
	return err
}
