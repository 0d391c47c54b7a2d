package reconcile

import (
	"errors"

	"vxlan-driver/internal/kernel"
)

// ensurePorts makes the host's ends of many containers' veths what they should be, as far as they are there.
// One request reads them all; only those that differ are looked at by themselves.
func ensurePorts(host Namespace, bridge string, want []kernel.Link) error {
	links, err := host.PortLinks(bridge)
	errs := []error{err}
	have := make(map[string]kernel.Link, len(links))
	for _, l := range links {
		have[l.Name] = l
	}
	for _, w := range want {
		if h, ok := have[w.Name]; !ok || !intactPort(host, w, h) {
			errs = append(errs, ensurePort(host, w))
		}
	}
	return errors.Join(errs...)
}

// ensurePort makes the host's end of a container's veth what it should be, if it is
// there. Somebody may have deleted its bridge.
func ensurePort(host Namespace, want kernel.Link) error {
	have, err := observeLink(host, want, 0)
	if errors.Is(err, kernel.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := checkOwner(want, have); err != nil {
		return err
	}
	return applyAll(host, diffLink(want, have, ours))
}

// intactPort tells whether a port is known to need nothing.
func intactPort(host Namespace, want, have kernel.Link) bool {
	var err error
	have.Sysctls, err = readSysctls(host, want.Sysctls, have.Sysctls)
	return err == nil && checkOwner(want, have) == nil && len(diffLink(want, have, ours)) == 0
}
