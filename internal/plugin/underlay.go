package plugin

import (
	"fmt"
	"time"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// underlayPoll is how often a start looks for its underlay. To look takes less than a millisecond.
const underlayPoll = 50 * time.Millisecond

// placeWhenReady places a network on the host. Where the underlay is not there yet, as while the
// host boots, it waits for as long as the network's option says. It takes no lock, so other
// programs go on meanwhile; but Podman waits for its plugin.
func (p *Plugin) placeWhenReady(config []byte, host hoststate.Namespace) (plan.PlacedNetwork, error) {
	for start := time.Now(); ; time.Sleep(underlayPoll) {
		n, err := p.Place(config, host)
		ready := err == nil && !n.VTEP.Unlisted && !n.VTEP.Tentative
		if ready || err != nil && !network.IsUnderlayAbsent(err) {
			return n, err
		}
		typed, parseErr := network.ParseStored(config)
		if parseErr != nil {
			return plan.PlacedNetwork{}, parseErr
		}
		timeout := time.Duration(typed.UnderlayTimeout) * time.Second
		if time.Since(start) < timeout {
			continue
		}
		if err == nil {
			return withoutReadyUnderlay(n, timeout)
		}
		return plan.PlacedNetwork{}, fmt.Errorf("%w; not there after %v (underlay_timeout): bring it up, or start the container after the unit that does", err, timeout)
	}
}

// withoutReadyUnderlay is what becomes of a start whose underlay did not get ready in time.
func withoutReadyUnderlay(n plan.PlacedNetwork, timeout time.Duration) (plan.PlacedNetwork, error) {
	v := &n.VTEP
	if v.Tentative {
		return plan.PlacedNetwork{}, fmt.Errorf("network %s: option local_ip: %s of %s is still tentative after %v (underlay_timeout): "+
			"another host has the address, or nothing answers on the link; see `ip -6 address show dev %s`", n.Name, v.Local, v.Interface, timeout, v.Interface)
	}
	v.Warnings = append(v.Warnings, fmt.Sprintf("network %s: no address in remote_ips is this host's after %v (underlay_timeout), though one was when the network was created; "+
		"it sends from %s by %s until this host has one", n.Name, timeout, v.Local, v.Interface))
	return n, nil
}
