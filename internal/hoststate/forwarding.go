package hoststate

import (
	"errors"
	"fmt"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
)

// WantedForwarding is what the kernel should hold for a network's frames to find the other hosts, and
// the flood entries.
func (h *Host) WantedForwarding(n Network, k plan.Known) (want plan.Forwarding, flood []kernel.FDB) {
	want = *plan.ForwardTo(n.withEndpoints(), k).Network.Forwarding
	h.limitFastPath(&want.FastPath)
	return want, plan.FloodEntries(n.Network, n.VTEP)
}

// limitFastPath makes packets pass the bridge where no fast path can do what is wanted.
func (h *Host) limitFastPath(p *kernel.FastPath) {
	unchecked := p.PortSecurity && (h.FastPathChecksSenders == nil || !h.FastPathChecksSenders(p.Device))
	if h.noFastPath || unchecked {
		p.Disable()
	}
}

// ReadForwarding returns what the kernel holds of what a network wants, and the MACs of its fast path.
// It takes no lock. A network without devices has nothing.
func (h *Host) ReadForwarding(want plan.Forwarding) (have kernel.ForwardingTables, fastPath []kernel.MAC, err error) {
	ns, err := h.Open("")
	if err != nil {
		return kernel.ForwardingTables{}, nil, err
	}
	defer ns.Close()
	have, err = ns.ForwardingTables(want.Device.Master, want.Device.Name, nil)
	if err == nil && !want.FastPath.IsEmpty() {
		fastPath, err = ns.FastPathRemote(want.FastPath)
	}
	if err != nil && !errors.Is(err, kernel.ErrNotFound) {
		return kernel.ForwardingTables{}, nil, fmt.Errorf("read forwarding of %s: %w", want.Device.Name, err)
	}
	return have, fastPath, nil
}
