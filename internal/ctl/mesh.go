package ctl

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/doctor"
)

// States of a direction.
const (
	meshOK      = "ok"
	meshLossy   = "lossy"   // some frames are lost
	meshSmall   = "small"   // only small frames pass
	meshLost    = "lost"    // none passes
	meshUnknown = "unknown" // nobody has tested it, or can be asked
)

// meshRow is one direction between two hosts on one network.
type meshRow struct {
	From      string        `json:"from"`
	To        string        `json:"to"`
	Network   string        `json:"network,omitempty"`
	State     string        `json:"state"`
	Loss      float64       `json:"loss"` // of the frames that were asked for an answer, from 0 to 1
	MTU       int           `json:"mtu,omitempty"`
	FullSize  int           `json:"full_size,omitempty"`
	RoundTrip time.Duration `json:"round_trip,omitempty"`
	Measured  time.Duration `json:"measured,omitempty"` // how long ago
	Where     string        `json:"where,omitempty"`    // frames get lost, as far as the hosts can tell
	// Encryption is how the frames are encrypted; "": they are not.
	Encryption string `json:"encryption,omitempty"`
	// ProgramPackets and ProgramBytes are what eBPF programs have sent that way.
	ProgramPackets uint64 `json:"program_packets,omitempty"`
	ProgramBytes   uint64 `json:"program_bytes,omitempty"`
}

const meshHelp = `Mesh asks the agents of all hosts what their tests of the tunnels show: for each pair
of hosts, each direction and each network whether frames pass, small and full ones.
Where they do not, it says where they get lost, as far as the hosts can tell:

  never left       the sender has a fault of its own, such as a firewall
  lost on the way  nothing of the sender arrives
  refused there    the receiver's firewall, or this driver's members' rule, drops it
  on the way back  frames arrive, and their answers do not come back

Agents test each tunnel once a minute, and every ten seconds where something is lost.
It exits with 1 if a direction has a fault.`

func meshCommand(host ClusterStatusSource) *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "mesh",
		Short: "show for every pair of hosts whether frames pass through the tunnel, both ways",
		Long:  meshHelp,
		Example: `  vxlanctl mesh
  vxlanctl mesh --filter state!=ok
  vxlanctl mesh --filter to=host-b --format '{{.From}} {{.Where}}'`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.Run(cmd, func(p *output.Printer) error {
				answers, err := host.StatusOfAll()
				if err != nil {
					return fmt.Errorf("mesh: %w", err)
				}
				rows, notes := meshOf(answers)
				list := output.Listing[meshRow]{Key: "directions", Columns: meshColumns, Rows: rows, Notes: notes}
				if err := list.Print(p); err != nil {
					return err
				}
				if slices.ContainsFunc(rows, func(r meshRow) bool { return r.State != meshOK }) {
					return levelError(diagnosis.Warning)
				}
				return nil
			})
		},
	}
	opts.AddListFlags(cmd, output.Headings(meshColumns))
	return cmd
}

var meshColumns = []output.Column[meshRow]{
	{Heading: "FROM", Text: func(r meshRow) string { return r.From }, Shrinks: true},
	{Heading: "TO", Text: func(r meshRow) string { return r.To }, Shrinks: true},
	{Heading: "NETWORK", Text: func(r meshRow) string { return r.Network }, Shrinks: true},
	{Heading: "STATE", Text: func(r meshRow) string { return r.State }},
	{Heading: "LOSS", Text: func(r meshRow) string {
		if r.State == meshUnknown {
			return ""
		}
		return fmt.Sprintf("%.0f%%", 100*r.Loss)
	}},
	{Heading: "MTU", Text: func(r meshRow) string {
		if r.MTU == 0 {
			return ""
		}
		return fmt.Sprint(r.MTU)
	}},
	{Heading: "RTT", Text: func(r meshRow) string { return roundTripText(r.RoundTrip) }, Wide: true},
	{Heading: "ENCRYPTION", Text: func(r meshRow) string { return r.Encryption }, Sparse: true},
	{Heading: "WHERE", Text: func(r meshRow) string { return r.Where }, Shrinks: true},
}

// meshOf returns each direction that a host has tested, and what to say of hosts that cannot be
// asked.
func meshOf(answers []agentapi.HostAnswer) (rows []meshRow, notes []string) {
	healthy, notAsked := 0, 0
	for _, a := range answers {
		if errors.Is(a.Err, agentapi.ErrCannotBeAsked) {
			notAsked++
			continue
		}
		if a.Err != nil || a.Response.Status == nil {
			notes = append(notes,
				fmt.Sprintf("%s cannot be asked: %v", a.Host.Name, cmp.Or(a.Err, error(agentapi.ErrNotRunning))))
			continue
		}
		for _, c := range a.Response.Status.Clusters {
			healthy += c.HealthyHosts
			for _, h := range c.Hosts {
				for _, path := range h.Paths {
					rows = append(rows, direction(answers, a, h, path))
				}
			}
		}
	}
	if note := notAskedNote(notAsked); note != "" {
		notes = append(notes, note)
	}
	if healthy > 0 {
		notes = append(notes,
			fmt.Sprintf("%d directions to hosts to which all frames pass are not listed, as there are many hosts", healthy))
	}
	if len(rows) == 0 && len(notes) == 0 {
		notes = append(notes, "no tunnel was tested yet: hosts test those of networks that have containers on both")
	}
	slices.SortStableFunc(rows, func(a, b meshRow) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Network, b.Network))
	})
	return rows, notes
}

// direction is what one host found out about the way to another one.
func direction(answers []agentapi.HostAnswer, from agentapi.HostAnswer, to agentapi.HostStatus,
	path agentapi.PathStatus) meshRow {
	r := meshRow{
		From: cmp.Or(from.Host.HostName, from.Host.Name), To: cmp.Or(to.HostName, to.Name), Network: path.Network,
		MTU: path.MTU, FullSize: path.FullSize, RoundTrip: path.RoundTrip, Measured: path.Measured,
	}
	if path.Programs != nil {
		r.ProgramPackets, r.ProgramBytes = path.Programs.SentPackets, path.Programs.SentBytes
	}
	for _, n := range from.Response.Status.Networks {
		if n.Name == path.Network {
			r.Encryption = encryptionWord(n)
		}
	}
	loss, known := path.Loss()
	switch r.Loss = loss; {
	case path.Measured == 0:
		r.State = meshUnknown
	case path.MTU == 0:
		r.State, r.Loss = meshLost, 1
	case path.MTU < path.FullSize:
		r.State = meshSmall
	case known && loss > 0:
		r.State = meshLossy
	default:
		r.State = meshOK
	}
	if r.State == meshLost {
		r.Where = whereLost(*from.Response.Status, findAnswer(answers, to), path)
	}
	return r
}

// findAnswer returns what a host answered, or nothing.
func findAnswer(answers []agentapi.HostAnswer, host agentapi.HostStatus) *agentapi.StatusReport {
	for _, a := range answers {
		isMeant := a.Host.ID == host.ID && (!a.Host.SharesID || a.Host.Addr == host.Addr)
		if isMeant && a.Err == nil {
			return a.Response.Status
		}
	}
	return nil
}

// heardLately is longer than the time after which an agent tests again where something is lost.
const heardLately = 25 * time.Second

// whereLost says where the frames of a path get lost, by what both ends know.
func whereLost(from agentapi.StatusReport, to *agentapi.StatusReport, path agentapi.PathStatus) string {
	switch {
	case to != nil && heardFrom(*to, from.Host.Addrs, path.Network):
		return "on the way back"
	case hasCause(from, diagnosis.UnderlayLost, diagnosis.NoRoute) || isFiltered(from, path.Network):
		return "never left"
	case to == nil:
		return "the other host cannot be asked"
	case isFiltered(*to, path.Network) || refuses(*to):
		return "refused there"
	}
	return "lost on the way"
}

// isFiltered tells whether another program's rules drop what a network needs on the host.
func isFiltered(r agentapi.StatusReport, network string) bool {
	return slices.ContainsFunc(doctor.FromReport(r), func(f diagnosis.Finding) bool {
		return f.Code == diagnosis.ForeignDrop && (f.Network == "" || f.Network == network)
	})
}

func hasCause(r agentapi.StatusReport, codes ...diagnosis.Code) bool {
	return slices.ContainsFunc(doctor.FromReport(r),
		func(f diagnosis.Finding) bool { return slices.Contains(codes, f.Code) })
}

// refuses tells whether the host has dropped VXLAN packets of a host that it takes for no member.
func refuses(r agentapi.StatusReport) bool {
	return slices.ContainsFunc(r.Drops,
		func(d agentapi.DropStatus) bool { return d.Reason == "not_a_member" && d.Packets > 0 })
}

// heardFrom tells whether frames of a host arrived lately.
func heardFrom(r agentapi.StatusReport, addrs []netip.Addr, network string) bool {
	for _, c := range r.Clusters {
		for _, h := range c.Hosts {
			for _, p := range h.Paths {
				if p.Network == network && slices.Contains(addrs, p.VTEP) && p.Heard > 0 && p.Heard < heardLately {
					return true
				}
			}
		}
	}
	return false
}
