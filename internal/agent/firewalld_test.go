package agent

import (
	"slices"
	"testing"
)

// trustedZone is a firewalld that forgets when it is reloaded.
type trustedZone struct{ devices []string }

func (z *trustedZone) Trust(device string) error {
	if !slices.Contains(z.devices, device) {
		z.devices = append(z.devices, device)
	}
	return nil
}

func (z *trustedZone) Untrust(device string) error {
	z.devices = slices.DeleteFunc(z.devices, func(d string) bool { return d == device })
	return nil
}

// After firewalld's reload the bridge is in the trusted zone again before anybody notices.
func TestBridgeIsTrustedAgainAfterReload(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		zone := new(trustedZone)
		r.Host.Zones = zone
		r.setup(1)
		r.startIdle()
		for range 2 {
			zone.devices = nil
			r.reloadEvents <- struct{}{}
			sleep(2 * newsDebounce)
			if !slices.Equal(zone.devices, []string{"br-blue"}) {
				t.Errorf("after a reload firewalld trusts %q", zone.devices)
			}
		}
		r.finish()
	})
}
