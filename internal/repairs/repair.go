package repairs

import (
	"fmt"
	"time"

	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/kernel"
)

// Kind is what was repaired. Kinds are labels of metrics, and are never renamed.
type Kind string

// The kinds of repairs.
const (
	Firewall   Kind = "firewall"   // tables, rules or elements
	Device     Kind = "device"     // a bridge or a VXLAN device, with all that it has
	Address    Kind = "address"    // of a device
	Route      Kind = "route"      // of a device
	Port       Kind = "port"       // a port's place on its bridge, and how that treats it
	Parameter  Kind = "parameter"  // a sysctl
	Forwarding Kind = "forwarding" // entries of an FDB, or neighbours
	WireGuard  Kind = "wireguard"  // a WireGuard device, its process, and what lets packets pass it
)

// Kinds are all of them.
var Kinds = []Kind{Firewall, Device, Address, Route, Port, Parameter, Forwarding, WireGuard}

// oneElement is the object of a repair of the firewall.
const oneElement = "an element"

// codes are what `vxlanctl explain` says of each kind.
var codes = map[Kind]diagnosis.Code{
	Firewall:   diagnosis.RulesMissing,
	Device:     diagnosis.DeviceAltered,
	Address:    diagnosis.GatewayMissing,
	Route:      diagnosis.DeviceAltered,
	Port:       diagnosis.DeviceAltered,
	Parameter:  diagnosis.SysctlChanged,
	Forwarding: diagnosis.ForwardingAltered,
	WireGuard:  diagnosis.WireGuardDown,
}

// Repair is something that was missing or altered, and is as it should be again.
type Repair struct {
	Kind   Kind
	Object string // what it was
	Count  uint64 // of forwarding entries; else 1
	// Missing tells of a device that it was not there at all.
	Missing bool
	// Neighbours tells of forwarding entries that all are neighbours.
	Neighbours bool
	Link       string // that it belongs to; "": the host
	// Fault is what was wrong with a WireGuard device. OfRouting tells that the device ran, and the kernel sent or took
	// in no packets by it.
	Fault     string
	OfRouting bool
	Detail    string // the command that repaired it
	// By is who had removed it, as far as the kernel told, and GoneFor how long it was gone. Reported
	// tells whether the kernel told at all.
	By       kernel.Sender
	GoneFor  time.Duration
	Reported bool
}

// Code returns what explains the repair.
func (r Repair) Code() diagnosis.Code {
	if r.Missing {
		return diagnosis.DeviceMissing
	}
	if r.OfRouting {
		return diagnosis.WireGuardRouting
	}
	if r.Neighbours {
		return diagnosis.NeighbourAltered
	}
	return codes[r.Kind]
}

// String says what happened.
func (r Repair) String() string {
	text := r.describe()
	if r.Reported {
		text += fmt.Sprintf(", gone for %v", r.GoneFor.Round(time.Millisecond))
	}
	if r.By.PID != 0 {
		return text + ", removed by " + r.By.String()
	}
	return text + ", by whom is unknown"
}

func (r Repair) describe() string {
	switch r.Kind {
	case Device:
		if r.Missing {
			return fmt.Sprintf("device %s was missing and is back", r.Object)
		}
		return fmt.Sprintf("device %s was altered and is set right", r.Object)
	case Port:
		return fmt.Sprintf("port %s was off its bridge or altered, and is set right", r.Object)
	case Address:
		return fmt.Sprintf("address %s of %s was missing and is back", r.Object, r.Link)
	case Route:
		return fmt.Sprintf("route to %s was missing and is back", r.Object)
	case WireGuard:
		return fmt.Sprintf("WireGuard device %s %s and is set right", r.Object, r.Fault)
	case Parameter:
		return fmt.Sprintf("kernel parameter %s was altered and is set right", r.Object)
	case Firewall:
		if r.Object == oneElement {
			return fmt.Sprintf("firewall: %s was missing or altered and is back", r.Object)
		}
		return fmt.Sprintf("firewall: %s were missing or altered and are back", r.Object)
	}
	if r.Count == 1 {
		return fmt.Sprintf("%s of %s was missing or wrong and is set right", r.Object, r.Link)
	}
	return fmt.Sprintf("%s of %s were missing or wrong and are set right", r.Object, r.Link)
}

// matches tells whether a removal is what made the repair necessary.
func (r Repair) matches(removed kernel.Removal) bool {
	switch removed.What {
	case kernel.RemovedLink:
		return r.Missing && removed.Object == r.Object
	case kernel.RemovedAddr:
		return r.Kind == Address && removed.Prefix.String() == r.Object
	case kernel.RemovedRoute:
		return r.Kind == Route && removed.Prefix.String() == r.Object
	case kernel.RemovedRules, kernel.RemovedElement:
		return r.Kind == Firewall
	}
	return false
}
