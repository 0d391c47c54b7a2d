package encryptiontest

import (
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// frames are those that were sent through a tunnel to find out what passes.
type frames struct{ Sent, Answered int }

// probesOf is what an agent has counted of a network's frames to other hosts.
func probesOf(t *testing.T, h *lab.Host, network string) (all frames) {
	t.Helper()
	var answer struct {
		Status struct {
			Clusters []struct {
				Hosts []struct {
					Paths []struct {
						Network string
						Full    frames
					}
				}
			}
		}
	}
	askAgent(t, h, "status", &answer)
	for _, c := range answer.Status.Clusters {
		for _, other := range c.Hosts {
			for _, p := range other.Paths {
				if p.Network == network {
					all.Sent, all.Answered = all.Sent+p.Full.Sent, all.Answered+p.Full.Answered
				}
			}
		}
	}
	return all
}

// A network that has just come has no loss: before WireGuard's first handshakes nothing is sent that could be lost.
func TestNewNetworkHasNoLoss(t *testing.T) {
	l := startLab(t, 3)
	createOn(t, l.Hosts(), "new", 130, false, encrypted)
	labtest.Each(t, l.Hosts(), func(h *lab.Host) {
		labtest.Sh(t, h, "podman run -d --name new-"+h.Name()+" --network new localhost/web")
	})
	for _, h := range l.Hosts() {
		var counted frames
		for deadline := time.Now().Add(20 * time.Second); counted.Sent < 2 && time.Now().Before(deadline); {
			time.Sleep(100 * time.Millisecond)
			counted = probesOf(t, h, "new")
		}
		if counted.Sent < 2 || counted.Answered < counted.Sent {
			t.Errorf("%s: %d frames were sent to two hosts, and %d answered", h.Name(), counted.Sent, counted.Answered)
		}
	}
}
