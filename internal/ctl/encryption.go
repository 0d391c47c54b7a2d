package ctl

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/doctor"
)

// EncryptionHost knows how networks are encrypted, and changes their keys.
type EncryptionHost interface {
	StatusSource
	// RotateEncryption begins to replace the keys of an encrypted network, or of all if name is "".
	RotateEncryption(name string) (agentapi.RotationReport, error)
}

func encryptionCommand(host EncryptionHost) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "encryption",
		Short: "show how encrypted networks are encrypted, and change their keys",
		Long: `Encryption shows the WireGuard devices of networks that were created with
"--opt encryption=wireguard", and changes their keys on all hosts. The agents
(vxland) make the keys and change them by themselves, too.`,
		Example: "  vxlanctl encryption status\n  vxlanctl encryption rotate mynet",
		Args:    subcommandArg,
		RunE:    printHelp,
	}
	cmd.AddCommand(encryptionStatusCommand(host), encryptionRotateCommand(host))
	return cmd
}

const encryptionStatusHelp = `Status shows each encrypted network with its WireGuard device, or two while the keys
rotate. Then come the other hosts, as each device sees them.

  BY          kernel       WireGuard of this kernel
              wireguard-go a process of the agent's program, as the kernel has none
  UDP PORT    of this host, on which the device takes packets in
  MTU         of the containers' packets with a VXLAN header around them
  KEY         how often the network's keys have been changed, from 1 on
  STATE       sends        this host's packets leave by it
              receives     other hosts' packets still come, or already, by it
              down         no packet passes
  HANDSHAKE   how long ago both devices agreed on a session; it is renewed every two
              minutes
  IN, OUT     bytes since the device was made, encrypted
  IP PACKETS  straight     go into WireGuard as they are
              in VXLAN     go with a VXLAN header, as all other packets do

Below is what was refused of plaintext since the firewall's rules were set, on all
encrypted networks together. Lines that begin with # say what is wrong.`

func encryptionStatusCommand(host EncryptionHost) *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "status [NETWORK]",
		Short: "show WireGuard devices, the other hosts' handshakes, and what is wrong",
		Long:  encryptionStatusHelp,
		Example: `  vxlanctl encryption status
  vxlanctl encryption status mynet --filter handshake=never
  vxlanctl encryption status --format '{{range .Devices}}{{.Port}} {{end}}'`,
		Args:              takes(0, 1),
		ValidArgsFunction: completing(1, func([]string) []string { return encryptedNetworks(host) }),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.Run(cmd, func(p *output.Printer) error {
				v, err := readEncryption(host, firstOr(args, ""))
				if err != nil {
					return fmt.Errorf("encryption status: %w", err)
				}
				return v.print(p)
			})
		},
	}
	opts.AddListFlags(cmd, slices.Concat(output.Headings(tunnelDeviceColumns), output.Headings(tunnelPeerColumns),
		output.Headings(findingColumns)))
	return cmd
}

// encryptedNetworks completes what is typed, as far as the agent answers.
func encryptedNetworks(host StatusSource) (names []string) {
	r, _ := host.Status()
	for _, n := range r.Networks {
		if n.Encryption != nil {
			names = append(names, n.Name)
		}
	}
	return names
}

// encryptionView is what `vxlanctl encryption status` prints.
type encryptionView struct {
	Devices []tunnelDevice `json:"devices"`
	Peers   []tunnelPeer   `json:"peers"`
	// Refused counts packets of all encrypted networks that were dropped since the rules were set.
	Refused  refusedPlaintext    `json:"refused"`
	Findings []diagnosis.Finding `json:"findings"`

	networks int
}

// refusedPlaintext counts packets by the rule that dropped them.
type refusedPlaintext struct {
	PlaintextIn   uint64 `json:"plaintext_in"`
	PlaintextOut  uint64 `json:"plaintext_out"`
	FromWireGuard uint64 `json:"from_wireguard"` // not VXLAN of the device's network
}

// tunnelDevice is a WireGuard device of a network.
type tunnelDevice struct {
	Network string `json:"network"`
	agentapi.WireGuardStatus
	State   string   `json:"state"`
	Waiting []string `json:"waiting,omitempty"` // hosts that a rotation waits for
}

// States of a WireGuard device.
const (
	deviceSends    = "sends"
	deviceReceives = "receives"
	deviceDown     = "down"
)

// tunnelPeer is another host, as a WireGuard device sees it.
type tunnelPeer struct {
	Network string `json:"network"`
	Device  string `json:"device"`
	agentapi.WireGuardPeer
}

// readEncryption asks the agent about a network, or about all.
func readEncryption(host StatusSource, name string) (v encryptionView, err error) {
	r, err := host.Status()
	if err != nil {
		return v, err
	}
	v = encryptionView{Devices: []tunnelDevice{}, Peers: []tunnelPeer{}, Findings: []diagnosis.Finding{}}
	for _, n := range r.Networks {
		if n.Encryption == nil || name != "" && n.Name != name {
			continue
		}
		v.add(n)
	}
	if v.networks == 0 && name != "" {
		return v, notEncrypted(name)
	}
	for _, f := range doctor.EncryptionFindings(doctor.FromReport(r)) {
		if name == "" || f.Network == name {
			v.Findings = append(v.Findings, f)
		}
	}
	for _, d := range r.Drops {
		switch d.Reason {
		case "plaintext_in":
			v.Refused.PlaintextIn += d.Packets
		case "plaintext_out":
			v.Refused.PlaintextOut += d.Packets
		case "from_wireguard":
			v.Refused.FromWireGuard += d.Packets
		}
	}
	return v, nil
}

func notEncrypted(name string) error {
	return fmt.Errorf("network %s has no container on this host, or is not encrypted; `vxlanctl network ls` says which",
		name)
}

func (v *encryptionView) add(n agentapi.NetworkStatus) {
	v.networks++
	for i, d := range n.Encryption.Devices {
		row := tunnelDevice{Network: n.Name, WireGuardStatus: d, State: deviceReceives}
		switch {
		case !d.Running:
			row.State = deviceDown
		case d.Generation == n.Encryption.Sends:
			row.State = deviceSends
		}
		if i > 0 {
			row.Waiting = n.Encryption.Waiting
		}
		for _, p := range d.Peers {
			v.Peers = append(v.Peers, tunnelPeer{n.Name, d.Device, p})
		}
		row.Peers = nil // they are rows of their own
		v.Devices = append(v.Devices, row)
	}
}

func (v encryptionView) print(p *output.Printer) error {
	v.Devices = output.Wanted(p, tunnelDeviceColumns, v.Devices)
	v.Peers = output.Wanted(p, tunnelPeerColumns, v.Peers)
	v.Findings = output.Wanted(p, findingColumns, v.Findings)
	return p.Report(v, func(out io.Writer) error {
		if p.Quiet {
			return printLines(out, slices.Compact(networksOf(v.Devices)))
		}
		_, err := io.WriteString(out, v.text(p))
		return err
	})
}

func networksOf(devices []tunnelDevice) (names []string) {
	for _, d := range devices {
		names = append(names, d.Network)
	}
	return names
}

func (v encryptionView) text(p *output.Printer) string {
	if v.networks == 0 {
		return p.Wrap("", "  ", "no encrypted network has a container on this host; create one: `podman network create "+
			"--driver vxlan --opt encryption=wireguard`")
	}
	var b strings.Builder
	if len(v.Devices) > 0 {
		b.WriteString(output.Listing[tunnelDevice]{Columns: tunnelDeviceColumns, Rows: v.Devices}.Table(p))
	}
	if len(v.Peers) > 0 {
		b.WriteString("\n" + output.Listing[tunnelPeer]{Columns: tunnelPeerColumns, Rows: v.Peers}.Table(p))
	}
	for _, d := range v.Devices {
		if len(d.Waiting) > 0 {
			b.WriteString(p.Wrap("", "  ", fmt.Sprintf("%s: the new keys wait for %s", d.Network, joinHosts(d.Waiting))))
		}
	}
	b.WriteString("\n" + p.Wrap("", "  ", v.Refused.String()))
	for _, f := range v.Findings {
		b.WriteString(findingText(p, f))
	}
	return b.String()
}

func (r refusedPlaintext) String() string {
	if r == (refusedPlaintext{}) {
		return "no plaintext was refused"
	}
	return fmt.Sprintf("refused: plaintext that came %d, plaintext that was to leave %d, not VXLAN from WireGuard "+
		"%d packets",
		r.PlaintextIn, r.PlaintextOut, r.FromWireGuard)
}

var tunnelDeviceColumns = []output.Column[tunnelDevice]{
	{Heading: "NETWORK", Text: func(d tunnelDevice) string { return d.Network }, Shrinks: true},
	{Heading: "DEVICE", Text: func(d tunnelDevice) string { return d.Device }, Shrinks: true},
	{Heading: "BY", Text: func(d tunnelDevice) string { return d.Implementation }},
	{Heading: "UDP PORT", Text: func(d tunnelDevice) string { return mtuText(int(d.Port)) }},
	{Heading: "MTU", Text: func(d tunnelDevice) string { return mtuText(d.MTU) }},
	{Heading: "KEY", Text: func(d tunnelDevice) string { return fmt.Sprint(d.Generation) }},
	{Heading: "AGE", Text: func(d tunnelDevice) string { return ageText(d.KeyAge) }},
	{Heading: "STATE", Text: func(d tunnelDevice) string { return d.State }},
	{Heading: "PUBLIC KEY", Text: func(d tunnelDevice) string { return d.PublicKey }, Wide: true},
}

var tunnelPeerColumns = []output.Column[tunnelPeer]{
	{Heading: "NETWORK", Text: func(r tunnelPeer) string { return r.Network }, Shrinks: true},
	{Heading: "HOST", Text: func(r tunnelPeer) string { return r.Host }, Shrinks: true},
	{Heading: "DEVICE", Text: func(r tunnelPeer) string { return r.Device }, Wide: true},
	{Heading: "HANDSHAKE", Text: handshakeText},
	{Heading: "IN", Text: func(r tunnelPeer) string { return bytesText(r.Received) }},
	{Heading: "OUT", Text: func(r tunnelPeer) string { return bytesText(r.Sent) }},
	{Heading: "IP PACKETS", Text: func(r tunnelPeer) string {
		if r.Straight {
			return "straight"
		}
		return "in VXLAN"
	}},
	{Heading: "ENDPOINT", Text: func(r tunnelPeer) string {
		if !r.Endpoint.IsValid() {
			return ""
		}
		return r.Endpoint.String()
	}, Wide: true},
}

func handshakeText(r tunnelPeer) string {
	if !r.Handshake {
		return "never"
	}
	return ageText(max(r.HandshakeAge, time.Second))
}

// bytesText is a number of bytes, with a decimal prefix.
func bytesText(n uint64) string { return strings.TrimSuffix(byteRateText(float64(n)), "/s") }

// encryptionWord says in a word how a network is encrypted; "": it is not.
func encryptionWord(n agentapi.NetworkStatus) string {
	const wireGuard = "wireguard"
	e := n.Encryption
	switch {
	case e == nil:
		return ""
	case e.Sends == 0 || e.Problem != "" || len(doctor.EncryptionFindings(doctor.FromReport(
		agentapi.StatusReport{Networks: []agentapi.NetworkStatus{n}}))) > 0:
		return wireGuard + "!"
	}
	return wireGuard
}
