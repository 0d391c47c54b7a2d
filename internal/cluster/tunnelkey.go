package cluster

import "fmt"

// Limits on the keys of a network.
const (
	// MaxTunnelKeys is how many generations a host has at a time: two, while keys rotate.
	MaxTunnelKeys = 2
	// MaxGeneration is the highest generation. The one after it is 1.
	MaxGeneration = 1<<32 - 1
)

// TunnelKey is by what a host takes packets of an encrypted network: one WireGuard device.
type TunnelKey struct {
	// Generation counts the network's rotations, from 1. All hosts of a network have the same one, but while
	// keys rotate: then a host has two, the earlier one first.
	Generation uint64
	Public     [32]byte // of the host's own key pair of that generation (Curve25519)
	Port       uint16   // UDP, at the host's VTEP
	// TakesIP tells that the device takes IP packets of containers as they are. Otherwise it takes
	// VXLAN packets only.
	TakesIP bool
	// Sends tells that the host's own packets leave by this device. Until it sends by a later one,
	// the others must not give up their devices of this generation.
	Sends bool
}

// checkTunnelKeys says what is wrong with the keys of a network.
func checkTunnelKeys(keys []TunnelKey) error {
	if len(keys) > MaxTunnelKeys {
		return fmt.Errorf("%d keys, at most %d are allowed", len(keys), MaxTunnelKeys)
	}
	for i, k := range keys {
		switch {
		case k.Generation < 1 || k.Generation > MaxGeneration:
			return fmt.Errorf("key of generation %d: must be from 1 to %d", k.Generation, MaxGeneration)
		case i > 0 && keys[i-1].Generation == k.Generation:
			return fmt.Errorf("key of generation %d: is repeated", k.Generation)
		case k.Public == [32]byte{}:
			return fmt.Errorf("key of generation %d: is zero", k.Generation)
		case k.Port == 0:
			return fmt.Errorf("key of generation %d: has no port", k.Generation)
		}
	}
	return nil
}
