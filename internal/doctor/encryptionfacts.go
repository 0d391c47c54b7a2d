package doctor

import (
	"fmt"
	"slices"
	"strings"

	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/network"
)

// WireGuardLink is a WireGuard device of a network, as the kernel has it.
type WireGuardLink struct {
	Name string
	Up   bool
	// RPFilter is how strictly the kernel checks the senders of packets that come by it: the larger one of its
	// own value and that of all devices.
	RPFilter int
	HasIPv4  bool // it has an address of IPv4, without which that check refuses all
	// Astray is where packets go that are to leave by it; "": by the device.
	Astray string
}

// KeyFile is a file with private keys, or its directory, that others than root can read.
type KeyFile struct {
	Path string
	Mode string // as chmod takes it
	Mend string // the right mode
}

// adders are what a network's packets have beside what containers send, as a subject with its verb.
func (n Network) adders() string {
	if n.Encrypts() {
		return "VXLAN and WireGuard add"
	}
	return "VXLAN adds"
}

// checkWireGuard says what keeps the kernel from sending and taking in a network's packets by its WireGuard
// devices.
func checkWireGuard(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		for _, l := range n.WireGuard {
			add := func(code diagnosis.Code, summary, evidence string, mend ...string) {
				findings = append(findings, diagnosis.Finding{Code: code, Level: diagnosis.Failure, Network: n.Name,
					Summary:  summary,
					Evidence: []string{evidence}, Mend: mend})
			}
			is4 := n.VTEP.Local.Is4()
			switch {
			case !l.Up:
				add(diagnosis.WireGuardDown, fmt.Sprintf("the WireGuard device %s is down", l.Name), "ip link show dev "+l.Name,
					fmt.Sprintf("ip link set %s up", l.Name), reload)
			case is4 && l.RPFilter == 1:
				add(diagnosis.WireGuardRouting, fmt.Sprintf("rp_filter is strict on %s, and drops what comes by it", l.Name),
					fmt.Sprintf("sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.%s.rp_filter", l.Name),
					fmt.Sprintf("sysctl -w net.ipv4.conf.%s.rp_filter=2", l.Name), reload)
			case is4 && l.RPFilter != 0 && !l.HasIPv4:
				add(diagnosis.WireGuardRouting, fmt.Sprintf("%s has no address of IPv4, and drops what comes by it", l.Name),
					"ip address show dev "+l.Name, fmt.Sprintf("ip address add 192.0.0.8/32 scope link dev %s", l.Name), reload)
			case l.Astray != "":
				add(diagnosis.WireGuardRouting, fmt.Sprintf("packets that are to leave by %s %s", l.Name, l.Astray),
					fmt.Sprintf("ip -6 rule show; ip route get HOST from %s oif %s", n.VTEP.Local, l.Name),
					reload+"   # sets the rule of routing and its table")
			}
		}
	}
	return findings
}

// checkTUN says whether wireguard-go can make its devices.
func checkTUN(f *Facts) (findings []diagnosis.Finding) {
	if !f.Kernel.NoTUN {
		return nil
	}
	for _, n := range f.Networks {
		if n.Encrypts() {
			findings = append(findings, diagnosis.Finding{
				Code: diagnosis.WireGuardDown, Level: diagnosis.Failure,
				Summary:  "/dev/net/tun is missing, which wireguard-go needs",
				Evidence: []string{"ls -l /dev/net/tun", "the kernel has no WireGuard of its own"},
				Mend:     []string{"mkdir -p /dev/net; mknod -m 600 /dev/net/tun c 10 200", reload},
			})
			break
		}
	}
	return findings
}

// checkKeyFiles says which private keys others can read.
func checkKeyFiles(f *Facts) (findings []diagnosis.Finding) {
	for _, k := range f.KeyFiles {
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.KeysUnsafe, Level: diagnosis.Warning,
			Summary:  fmt.Sprintf("others than root can read %s, which has private keys", k.Path),
			Evidence: []string{fmt.Sprintf("its mode is %s", k.Mode)},
			Mend: []string{fmt.Sprintf("chown root:root %s; chmod %s %s", k.Path, k.Mend, k.Path),
				"vxlanctl encryption rotate --detach   # somebody may have read the keys"},
		})
	}
	return findings
}

// checkWireGuardPorts says which other program has a UDP port that a network has for WireGuard.
func checkWireGuardPorts(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		if !n.Encrypts() || n.EncryptionPort == 0 {
			continue // the agent chooses one that is free
		}
		for _, s := range f.Sockets {
			isOwn := s.Program == "" || slices.Contains(wireGuardPrograms, s.Program)
			if p := s.Addr.Port(); isOwn || p != n.EncryptionPort && p != network.OtherPort(n.EncryptionPort) {
				continue
			}
			findings = append(findings, diagnosis.Finding{
				Code: diagnosis.WireGuardPort, Level: diagnosis.Failure, Network: n.Name,
				Summary:  fmt.Sprintf("the program %s has UDP port %d, which WireGuard needs", s.Program, s.Addr.Port()),
				Evidence: []string{fmt.Sprintf("process %d is bound to %s", s.PID, s.Addr)},
				Mend: []string{fmt.Sprintf("kill %d   # or recreate the network with another --opt encryption_port on all hosts",
					s.PID), reload},
			})
		}
	}
	return findings
}

// wireGuardPrograms are the names of wireguard-go's processes, which are the agent's program.
var wireGuardPrograms = []string{"wireguard-vxlan", "vxland"}

// checkPlaintext says which plaintext of encrypted networks passed the underlay while somebody looked.
func checkPlaintext(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		for _, s := range f.Traffic {
			if !n.Encrypts() || s.Refused || s.Port != n.Tunnel.Port || s.VNI != n.Tunnel.VNI {
				continue
			}
			found := diagnosis.Finding{Code: diagnosis.PlaintextSeen, Level: diagnosis.Failure, Network: n.Name}
			if s.Out {
				found.Summary = fmt.Sprintf("plaintext of the network leaves for %s", s.To)
				found.Mend = []string{reload}
			} else {
				found.Summary = fmt.Sprintf("host %s sends plaintext of the network, which is dropped", f.hostAt(s.From).label)
				found.Mend = []string{fmt.Sprintf("podman network inspect %s   # there: recreate it with "+
					"--opt encryption=wireguard", n.Name)}
			}
			found.Evidence = []string{fmt.Sprintf("%d VXLAN packets with the VNI %d were on %s without WireGuard", s.Count,
				s.VNI,
				n.VTEP.Interface), "vxlanctl drops"}
			findings = append(findings, found)
		}
	}
	return findings
}

// isOfEncryption tells whether a code is one of encrypted networks.
func isOfEncryption(c diagnosis.Code) bool { return strings.HasPrefix(string(c), "VX10") }

// EncryptionFindings are those of a report that are about encrypted networks.
func EncryptionFindings(findings []diagnosis.Finding) (kept []diagnosis.Finding) {
	for _, f := range findings {
		if isOfEncryption(f.Code) {
			kept = append(kept, f)
		}
	}
	return kept
}
