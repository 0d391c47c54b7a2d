package plugin

import (
	"time"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// underlayPoll is how often a start looks for its underlay. To look takes less than a millisecond.
const underlayPoll = 50 * time.Millisecond

// placeWhenReady places a network on the host. Where the underlay is not there yet, as while the
// host boots, it waits for as long as the network's option says. It holds no lock meanwhile; but
// Podman waits for its plugin.
func (p *Plugin) placeWhenReady(config []byte, host hoststate.Namespace) (plan.PlacedNetwork, error) {
	for start := time.Now(); ; time.Sleep(underlayPoll) {
		placed, err := p.Place(config, host)
		if err == nil && placed.VTEP.IsReady() || err != nil && !network.IsUnderlayAbsent(err) {
			return placed, err
		}
		n, parseErr := network.ParseStored(config)
		if parseErr != nil {
			return plan.PlacedNetwork{}, parseErr
		}
		switch {
		case time.Since(start) < time.Duration(n.UnderlayTimeout)*time.Second:
		case err != nil:
			return plan.PlacedNetwork{}, n.AbsentError(err)
		default:
			return placed, n.UseUnreadyVTEP(&placed.VTEP)
		}
	}
}
