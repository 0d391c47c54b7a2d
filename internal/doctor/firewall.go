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
			Summary: "elements of the table inet vxlan-driver or bridge vxlan-driver are missing or wrong", Mend: []string{reload},
		}
		switch change := c.Change.(type) {
		case kernel.SetFirewall:
			found.Summary = "the tables inet vxlan-driver and bridge vxlan-driver are missing, or their rules were changed"
			lines = "nft list table inet vxlan-driver"
		case kernel.AddElements, kernel.DelElements, kernel.ReplaceElements, kernel.DeleteFirewall:
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
	return findings
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
		found := diagnosis.Finding{
			Code: diagnosis.ForeignDrop, Level: diagnosis.Failure, Network: c.Network,
			Summary:  fmt.Sprintf("chain %s of table %s drops %s", c.Chain, c.Table, strings.Join(c.Dropped, ", ")),
			Evidence: []string{fmt.Sprintf("nft list chain %s %s", c.Table, c.Chain)},
			Mend:     c.Commands,
		}
		if c.Option != "" {
			found.Evidence = append(found.Evidence, "or recreate the network with --opt "+c.Option)
		}
		findings = append(findings, withFilterCode(found, c))
	}
	return findings
}

// withFilterCode tells what only concerns frames within a network, or names, from the rest.
func withFilterCode(found diagnosis.Finding, c foreignfilter.BlockingChain) diagnosis.Finding {
	if len(c.Dropped) != 1 {
		return found
	}
	switch {
	case strings.Contains(c.Dropped[0], "br_netfilter"):
		found.Code = diagnosis.BridgeFiltered
	case strings.Contains(c.Dropped[0], "container names"):
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
