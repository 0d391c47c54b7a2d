package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/network"
)

const (
	// triedBytes are those of two handshakes that were begun, five seconds apart, as the whitepaper's section 5.4.2
	// has them. Before, it is too early to tell.
	triedBytes = 2 * 148
	// rotationTime is longer than a rotation takes where all hosts answer.
	rotationTime = 2 * time.Minute
)

// fromEncryption is about the WireGuard devices of a network.
func fromEncryption(n agentapi.NetworkStatus) (findings []diagnosis.Finding) {
	e := n.Encryption
	if e == nil {
		return nil
	}
	if e.Problem != "" {
		findings = append(findings, fromEncryptionProblem(n.Name, e.Problem))
	}
	for _, d := range e.Devices {
		if !d.Running && e.Problem == "" && d.Implementation != "" {
			findings = append(findings, deviceDown(n.Name, d, "its process does not run, and the agent starts it again"))
		}
	}
	findings = append(findings, slices.Concat(fromClock(n), fromBlockedPeers(n))...)
	for _, host := range e.Keyless {
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.MemberWithoutKey, Level: diagnosis.Failure, Network: n.Name,
			Summary:  fmt.Sprintf("host %s is on the network, and has no key for it", host),
			Evidence: []string{"its record has no WireGuard key, so nothing is sent to it"},
			Mend: []string{fmt.Sprintf("vxlanctl doctor; podman network inspect %s   # there: it must have the option "+
				"encryption=wireguard", n.Name)},
		})
	}
	for _, host := range e.Disputed {
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.KeyDisputed, Level: diagnosis.Warning, Network: n.Name,
			Summary:  fmt.Sprintf("host %s announces a key that is another host's", host),
			Evidence: []string{"the host that had the key first keeps it, and nothing is sent to the other"},
			Mend:     []string{"vxlanctl explain " + string(diagnosis.KeyDisputed)},
		})
	}
	return append(findings, fromRotation(n)...)
}

// fromEncryptionProblem finds the code of what the agent cannot set up.
func fromEncryptionProblem(network, problem string) diagnosis.Finding {
	text := strings.TrimPrefix(firstLine(problem), "network "+network+": encryption: ")
	f := diagnosis.Finding{
		Code: diagnosis.WireGuardDown, Level: diagnosis.Failure, Network: network, Summary: text,
		Evidence: []string{"nothing of the network leaves this host until this is mended; the agent tries again"},
		Mend:     []string{reload},
	}
	switch {
	case strings.Contains(text, "read the keys in "), strings.Contains(text, "keep the keys in "):
		f = withAdvice(f, text)
		f.Code = diagnosis.KeysUnsafe
		_, rest, _ := strings.Cut(text, " the keys in ")
		if path, _, _ := strings.Cut(rest, ":"); strings.Contains(text, "read the keys in ") {
			f.Mend = []string{"rm " + path, reload}
		}
	case strings.Contains(text, "address already in use"), strings.Contains(text, "errno=-98"):
		f.Mend = []string{"ss -Hlunp   # find the program that has the port, and give it another; then: " + reload}
	case strings.Contains(text, "wireguard-go"):
		f.Mend = []string{"journalctl -u 'vxland*' -n 30; " + reload}
	}
	return f
}

func deviceDown(network string, d agentapi.WireGuardStatus, why string) diagnosis.Finding {
	return diagnosis.Finding{
		Code: diagnosis.WireGuardDown, Level: diagnosis.Failure, Network: network,
		Summary:  fmt.Sprintf("the WireGuard device %s does not run", d.Device),
		Evidence: []string{fmt.Sprintf("%s: %s", d.Implementation, why)},
		Mend:     []string{"journalctl -u 'vxland*' -n 30; " + reload},
	}
}

// fromClock is about a clock that was set back. It is a cause if a host that can be reached lacks a session.
func fromClock(n agentapi.NetworkStatus) []diagnosis.Finding {
	if n.Encryption.ClockBehind == 0 {
		return nil
	}
	f := diagnosis.Finding{
		Code: diagnosis.ClockSetBack, Level: diagnosis.Warning, Network: n.Name,
		Summary: fmt.Sprintf("the clock was set back; for another %v other hosts refuse handshakes of this one",
			n.Encryption.ClockBehind.Round(time.Second)),
		Evidence: []string{"the agent has seen a later time of day than it is now: date"},
		Mend:     []string{"vxlanctl encryption rotate --detach " + n.Name},
	}
	if len(blockedPeers(n)) > 0 {
		f.Level = diagnosis.Failure
	}
	return []diagnosis.Finding{f}
}

// fromRotation is about a rotation that takes long.
func fromRotation(n agentapi.NetworkStatus) []diagnosis.Finding {
	devices := n.Encryption.Devices
	if len(devices) < 2 || devices[1].KeyAge < rotationTime || len(n.Encryption.Waiting) == 0 {
		return nil
	}
	return []diagnosis.Finding{{
		Code: diagnosis.RotationWaits, Level: diagnosis.Warning, Network: n.Name,
		Summary: fmt.Sprintf("the rotation of the keys has waited for %v for %s", devices[1].KeyAge.Round(time.Second),
			strings.Join(atMost(n.Encryption.Waiting, maxEvidence), ", ")),
		Evidence: []string{fmt.Sprintf("they have not answered by %s, UDP port %d", devices[1].Device, devices[1].Port)},
		Mend: []string{fmt.Sprintf("vxlanctl doctor   # there; UDP ports %d and %d must be open on this host",
			devices[0].Port,
			devices[1].Port)},
	}}
}

// blockedPeer is another host to which no WireGuard packet passes.
type blockedPeer struct {
	agentapi.WireGuardPeer
	device agentapi.WireGuardStatus
}

// blockedPeers are the hosts whose agents answer, and whose device has no session with the one by which
// packets leave here.
func blockedPeers(n agentapi.NetworkStatus) (blocked []blockedPeer) {
	for _, d := range n.Encryption.Devices {
		if d.Generation != n.Encryption.Sends || !d.Running {
			continue
		}
		for _, p := range d.Peers {
			isTunnelLost := slices.ContainsFunc(n.Tunnels,
				func(t agentapi.TunnelStatus) bool { return t.Host == p.Host && t.Passing == 0 })
			if p.Reachable && (isTunnelLost || !p.HasSession() && (p.Handshake || p.Sent >= triedBytes)) {
				blocked = append(blocked, blockedPeer{p, d})
			}
		}
	}
	return blocked
}

// fromBlockedPeers says through which ports no WireGuard packet passes.
func fromBlockedPeers(n agentapi.NetworkStatus) (findings []diagnosis.Finding) {
	for _, p := range blockedPeers(n) {
		f := diagnosis.Finding{
			Code: diagnosis.WireGuardBlocked, Level: diagnosis.Failure, Network: n.Name,
			Summary: fmt.Sprintf("no WireGuard packet passes to or from host %s", p.Host),
			Evidence: []string{"its agent answers", fmt.Sprintf("%s has sent it %d bytes, and received %d", p.device.Device,
				p.Sent,
				p.Received)},
			Mend: []string{fmt.Sprintf("open the UDP ports %s on host %s, %s on this host, and all of them on the way; "+
				"which of two is used changes with the keys", portPair(p.Port), p.Host, portPair(p.device.Port))},
		}
		switch {
		case !p.Handshake:
			f.Evidence = append(f.Evidence, "there has been no handshake")
		case !p.HasSession():
			f.Evidence = append(f.Evidence, fmt.Sprintf("the last handshake was %v ago", p.HandshakeAge.Round(time.Second)))
		default:
			f.Summary = fmt.Sprintf("nothing passes through WireGuard to or from host %s", p.Host)
			f.Evidence = append(f.Evidence,
				fmt.Sprintf("probes through the tunnel are lost; the last handshake was %v ago", p.HandshakeAge.Round(time.Second)))
		}
		findings = append(findings, f)
	}
	return findings
}

// portPair names the ports of a network's two WireGuard devices on a host, by one of them.
func portPair(port uint16) string {
	other := network.OtherPort(port)
	return fmt.Sprintf("%d and %d", min(port, other), max(port, other))
}

// withoutEncryption leaves out of the agent's problem what is said of single networks besides.
func withoutEncryption(r agentapi.StatusReport) string {
	var kept []string
	for _, line := range splitLines(r.Problem) {
		isSaid := slices.ContainsFunc(r.Networks, func(n agentapi.NetworkStatus) bool {
			return n.Encryption != nil && slices.Contains(splitLines(n.Encryption.Problem), line)
		})
		if !isSaid {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}
