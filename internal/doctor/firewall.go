package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/foreignfilter"
	"vxlan-driver/internal/kernel"
)

// checkRules says whether the driver's tables have what they should.
func checkRules(f *Facts) (findings []diagnosis.Finding) {
	for _, c := range f.Changes {
		var lines string
		found := diagnosis.Finding{
			Code: diagnosis.RulesMissing, Level: diagnosis.Failure, Network: c.Network,
			Summary: "elements of the table inet vxlan-driver or bridge vxlan-driver are missing or wrong",
			Mend:    []string{reload},
		}
		switch change := c.Change.(type) {
		case kernel.SetFirewall:
			found.Summary = "the tables inet vxlan-driver and bridge vxlan-driver are missing, or their rules were changed"
			lines = "nft list table inet vxlan-driver"
		case kernel.DelElements:
			if f.areFingerprints(change.Elements) {
				continue
			}
			lines = change.String()
		case kernel.ReplaceElements:
			if f.areFingerprints(slices.Concat(change.Old, change.New)) {
				continue
			}
			lines = change.String()
		case kernel.AddElements, kernel.DeleteFirewall:
			lines = change.String()
		default:
			continue
		}
		for line := range strings.Lines(lines) {
			found.Evidence = append(found.Evidence, cut(strings.TrimSpace(line), maxLine))
		}
		found.Evidence = atMost(found.Evidence, maxEvidence)
		findings = append(findings, found)
	}
	for _, chain := range f.AlienChains {
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.RulesMissing, Level: diagnosis.Failure,
			Summary:  fmt.Sprintf("chain %s is not the driver's, and drops all packets by its policy", chain),
			Evidence: []string{"nft list chain " + chain}, Mend: []string{reload},
		})
	}
	return findings
}

// areFingerprints tells whether only the comment of a network's element is another one. It stands for
// all that the network has to know, and changes as soon as Podman has another network. What that one
// needs is a change of its own.
func (f *Facts) areFingerprints(elements []kernel.Element) bool {
	return !slices.ContainsFunc(elements, func(e kernel.Element) bool {
		return e.Set != kernel.Bridges || !slices.ContainsFunc(f.Networks, func(n Network) bool {
			return strings.HasSuffix(e.Comment, " network "+n.Name)
		})
	})
}

// maxLine is how long a line of evidence may be.
const maxLine = 200

func cut(text string, length int) string {
	if len(text) <= length {
		return text
	}
	return text[:length] + "…"
}

// checkForeignFilters says which chains of other programs drop what networks need.
func checkForeignFilters(f *Facts) (findings []diagnosis.Finding) {
	for _, c := range f.Blocking {
		if c.Table == panicTable || f.isOfUntrusted(c) {
			continue // see checkPanic and checkZones
		}
		found := diagnosis.Finding{
			Code: diagnosis.ForeignDrop, Level: diagnosis.Failure, Network: c.Network,
			Summary:  fmt.Sprintf("chain %s of table %s drops %s", c.Chain, c.Table, strings.Join(c.Dropped, ", ")),
			Evidence: []string{listCommand(c)},
			Mend:     f.openPorts(c),
		}
		if c.Option != "" {
			found.Evidence = append(found.Evidence, "or recreate the network with --opt "+c.Option)
		}
		findings = append(findings, withFilterCode(found, c))
	}
	return findings
}

// isOfUntrusted tells whether firewalld drops something only since it does not trust the bridge any more.
func (f *Facts) isOfUntrusted(c BlockingChain) bool {
	for _, n := range f.Networks {
		zone, known := f.Zones[n.Bridge.Name]
		if n.Name == c.Network && known && zone != "trusted" {
			return c.Table == "inet firewalld" && slices.Equal(c.Commands, []string{reload})
		}
	}
	return false
}

// panicTable is the table that firewalld adds in panic mode.
const panicTable = "inet firewalld_policy_drop"

// checkPanic says whether firewalld drops all packets because somebody told it to.
func checkPanic(f *Facts) []diagnosis.Finding {
	if !slices.ContainsFunc(f.Blocking, func(c BlockingChain) bool { return c.Table == panicTable }) {
		return nil
	}
	return []diagnosis.Finding{{
		Code: diagnosis.FirewalldPanic, Level: diagnosis.Failure,
		Summary:  "firewalld is in panic mode, and drops all packets of this host",
		Evidence: []string{"nft list table " + panicTable, "firewall-cmd --query-panic prints yes"},
		Mend:     []string{"firewall-cmd --panic-off"},
	}}
}

// openPorts returns the commands that let packets pass a chain. Those of firewalld name the zone, and
// are repeated for its files, or a reload would close the ports.
func (f *Facts) openPorts(c BlockingChain) (commands []string) {
	const add = "firewall-cmd --add-port="
	for _, line := range c.Commands {
		port, isPort := strings.CutPrefix(line, add)
		if !isPort || len(f.Firewalld.Zones) == 0 {
			commands = append(commands, line)
			continue
		}
		for _, zone := range f.Firewalld.Zones {
			inZone := "--zone=" + zone + " --add-port=" + port
			commands = append(commands, "firewall-cmd "+inZone, "firewall-cmd --permanent "+inZone)
		}
	}
	if len(commands) > len(c.Commands) { // ports are among them
		commands = append(slices.Clone(f.Firewalld.Denying), commands...)
	}
	return commands
}

// listCommand shows a chain.
func listCommand(c BlockingChain) string {
	if table, program, isLegacy := strings.Cut(c.Table, " of "); isLegacy {
		return fmt.Sprintf("%s -t %s -S %s", program, table, c.Chain)
	}
	return fmt.Sprintf("nft list chain %s %s", c.Table, c.Chain)
}

// checkSuspectChains says which chains may drop what goes from host to host. A rule that is found by
// name is named by itself.
func checkSuspectChains(f *Facts) (findings []diagnosis.Finding) {
	for _, c := range f.Suspect {
		isNamed := slices.ContainsFunc(f.Rules, func(r Rule) bool {
			return !r.Translates && !r.Marks && !r.Changes && !r.Untracks && !r.OfNames && r.isIn(c)
		})
		if isNamed || f.isBlocking(c.Table, c.Chain) {
			continue
		}
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.ForeignRule, Level: diagnosis.Warning, Network: c.Network,
			Summary:  fmt.Sprintf("chain %s of table %s may drop %s", c.Chain, c.Table, strings.Join(c.Dropped, ", ")),
			Evidence: []string{listCommand(c)}, Mend: c.Commands,
		})
	}
	return findings
}

// isBlocking tells whether a chain surely drops something. What else it may drop says no more.
func (f *Facts) isBlocking(table, chain string) bool {
	return slices.ContainsFunc(f.Blocking, func(c BlockingChain) bool { return c.Table == table && c.Chain == chain })
}

// withFilterCode tells what only concerns frames within a network, or names, from the rest.
func withFilterCode(found diagnosis.Finding, c foreignfilter.BlockingChain) diagnosis.Finding {
	if len(c.Dropped) != 1 {
		return found
	}
	switch {
	case strings.Contains(c.Dropped[0], "br_netfilter"):
		found.Code = diagnosis.BridgeFiltered
	case strings.HasSuffix(c.Dropped[0], "container names"):
		found.Code = diagnosis.NamesBlocked
	}
	return found
}

// checkDeviceHooks says what other programs have attached to devices that packets of networks pass.
// Whether it drops them is known of some only.
func checkDeviceHooks(f *Facts) (findings []diagnosis.Finding) {
	for _, h := range f.Hooks {
		level, verb := diagnosis.Warning, "may drop"
		if h.Drops {
			level, verb = diagnosis.Failure, "drops"
		}
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.DeviceHook, Level: level,
			Summary:  fmt.Sprintf("a %s of %s, which is another program's, %s packets of networks", h.What, h.Device, verb),
			Evidence: []string{cut(h.Text, maxLine)}, Mend: []string{h.Remove},
		})
	}
	return findings
}

// checkZones says which bridges firewalld does not trust.
func checkZones(f *Facts) (findings []diagnosis.Finding) {
	for _, bridge := range slices.Sorted(maps.Keys(f.Zones)) {
		zone := f.Zones[bridge]
		if zone == "trusted" {
			continue
		}
		if zone == "" {
			zone = "no zone"
		}
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.FirewalldZone, Level: diagnosis.Failure, Network: f.networkOfBridge(bridge),
			Summary:  fmt.Sprintf("firewalld has the bridge %s in %s and not in the zone trusted", bridge, zone),
			Evidence: []string{"firewall-cmd --get-zone-of-interface=" + bridge}, Mend: []string{reload},
		})
	}
	return findings
}

func (f *Facts) networkOfBridge(bridge string) string {
	for _, n := range f.Networks {
		if n.Bridge.Name == bridge {
			return n.Name
		}
	}
	return ""
}

// checkPortFiles says which files for firewalls lack a port of the driver's.
func checkPortFiles(f *Facts) (findings []diagnosis.Finding) {
	for _, p := range f.PortFiles {
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.PortFileOld, Level: diagnosis.Warning,
			Summary:  fmt.Sprintf("%s does not open port %s, by which hosts join", p.Path, p.Port),
			Evidence: []string{"it is of an older version, or a copy of one"}, Mend: p.Mend,
		})
	}
	return findings
}

// checkRefusedUsers says whether a process that is not root's has sent what only root may.
func checkRefusedUsers(f *Facts) []diagnosis.Finding {
	if len(f.Refused) == 0 {
		return nil
	}
	found := diagnosis.Finding{
		Code: diagnosis.UserRefused, Level: diagnosis.Warning,
		Summary: "a process that is not root's has sent to the VXLAN port or to an agent, and was refused",
		// A user who may send is a decision, which `vxlanctl doctor --fix` does not take.
		Mend:     []string{reload + "   # sets the counts to zero, once the process ended or allow_users names its user"},
		Evidence: []string{"vxlanctl drops -f shows such packets while they are dropped"},
	}
	for _, d := range f.Refused {
		found.Evidence = append(found.Evidence, fmt.Sprintf("%d packets since the rules were set: %s", d.Packets, d.Comment))
	}
	return []diagnosis.Finding{found}
}
