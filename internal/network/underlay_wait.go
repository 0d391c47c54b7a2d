package network

import (
	"errors"
	"fmt"
	"slices"
)

// IsUnderlayAbsent tells whether an error says nothing but that the host lacks what may still come.
func IsUnderlayAbsent(err error) bool {
	ps, ok := errors.AsType[Problems](err)
	return ok && !slices.ContainsFunc(ps, func(p Problem) bool { return !p.Absent })
}

// IsReady tells whether a start can use the VTEP, or should wait.
func (v VTEP) IsReady() bool { return !v.Unlisted && !v.Tentative }

// AbsentError is the error of a start whose underlay did not come in time.
func (n Network) AbsentError(err error) error {
	return fmt.Errorf(
		"%w; not there after %d s (underlay_timeout): bring it up, or start the container after the unit that does",
		err, n.UnderlayTimeout)
}

// UseUnreadyVTEP makes a start use a VTEP that did not get ready in time, if that can be right.
func (n Network) UseUnreadyVTEP(v *VTEP) error {
	if v.Tentative {
		return fmt.Errorf("network %s: option local_ip: %s of %s is still tentative after %d s (underlay_timeout): "+
			"another host has the address, or nothing answers on the link; see `ip -6 address show dev %s`",
			n.Name, v.Local, v.Interface, n.UnderlayTimeout, v.Interface)
	}
	v.Warnings = append(v.Warnings,
		fmt.Sprintf(
			"network %s: no address in remote_ips is this host's after %d s (underlay_timeout), though one was when the "+
				"network was created; "+
				"it sends from %s by %s until this host has one", n.Name, n.UnderlayTimeout, v.Local, v.Interface))
	return nil
}
