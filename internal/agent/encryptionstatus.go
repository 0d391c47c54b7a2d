package agent

import (
	"context"
	"fmt"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/encryption"
	"vxlan-driver/internal/membership"
)

// encryptionStatus says how a network's packets are encrypted, by its ID; nil: they are not.
func encryptionStatus(m *encryption.Manager, networkID string) *agentapi.EncryptionStatus {
	if m == nil {
		return &agentapi.EncryptionStatus{Problem: "this agent cannot encrypt", Devices: []agentapi.WireGuardStatus{}}
	}
	s, known := m.Status(networkID)
	if !known {
		return nil
	}
	status := &agentapi.EncryptionStatus{
		Problem: errorResponse(s.Err).Error, Sends: s.Sends, Waiting: s.Waiting, Disputed: s.Disputed,
		Keyless: s.Keyless, ClockBehind: s.ClockBehind,
		Devices: []agentapi.WireGuardStatus{},
	}
	for _, d := range s.Devices {
		device := agentapi.WireGuardStatus{
			Device: d.Name, Generation: d.Generation, KeyAge: d.Age, Implementation: string(d.Implementation),
			Running: d.Running, Port: d.Port, PublicKey: d.PublicKey.String(), MTU: d.MTU,
		}
		for _, p := range d.Peers {
			device.Peers = append(device.Peers, wireGuardPeer(p))
		}
		status.Devices = append(status.Devices, device)
	}
	return status
}

func wireGuardPeer(p encryption.PeerStatus) agentapi.WireGuardPeer {
	peer := agentapi.WireGuardPeer{
		Host: p.Host, VTEP: p.VTEP, Port: p.Port, Reachable: p.Reachable, Endpoint: p.Endpoint,
		Received: p.Received, Sent: p.Sent, Straight: p.TakesIP,
	}
	if !p.LastHandshake.IsZero() {
		peer.Handshake, peer.HandshakeAge = true, max(0, time.Since(p.LastHandshake.Round(0)))
	}
	return peer
}

// handleRotateEncryption begins to replace the keys of a network, by its ID or name, or of all.
func (a *Agent) handleRotateEncryption(ctx context.Context, name string) agentapi.Response {
	var response agentapi.Response
	if err := a.requests.RunInLoop(ctx, func() { response = a.rotateEncryption(name) }); err != nil {
		return errorResponse(err)
	}
	return response
}

func (a *Agent) rotateEncryption(name string) agentapi.Response {
	report := agentapi.RotationReport{Networks: []string{}}
	for _, n := range a.networks {
		if !n.Encrypts() || name != "" && name != n.ID && name != n.Name {
			continue
		}
		err := encryption.ErrNotEncrypted
		if a.encryption != nil {
			err = a.encryption.Rotate(n.ID)
		}
		if err != nil {
			report.Refused = append(report.Refused, err.Error())
			continue
		}
		report.Networks = append(report.Networks, n.Name)
	}
	if name != "" && len(report.Networks)+len(report.Refused) == 0 {
		return errorResponse(fmt.Errorf("rotate keys: %q is %w", name, encryption.ErrNotEncrypted))
	}
	return dataResponse(report, nil)
}

// rotateWithout has the keys replaced of the networks that a host was on. It may still have old ones.
func (a *Agent) rotateWithout(ctx context.Context, gone []knownHost) {
	if a.encryption == nil {
		return
	}
	was := make(map[cluster.NetworkKey]bool)
	for _, h := range gone {
		for _, m := range h.Memberships {
			was[m.Network] = true
		}
	}
	_ = a.requests.RunInLoop(ctx, func() { // but at the agent's end
		for _, n := range a.networks {
			if n.Encrypts() && was[membership.Network{Network: n.Network}.Key()] {
				if err := a.encryption.Renew(n.ID); err != nil {
					a.Log.Warn("the keys of a network do not rotate, though a host is forgotten",
						"network", n.Name, "why", err)
				}
			}
		}
	})
}
