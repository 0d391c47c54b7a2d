package doctor

import (
	"fmt"
	"strings"

	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/kernel"
)

// SysctlSetting is a kernel parameter that a file sets at boot.
type SysctlSetting struct{ Key, Value, File string }

// checkSysctlFiles says which files set what the networks need otherwise. If the parameter has that
// value now, the file is the cause. Otherwise it sets it again at the next boot.
func checkSysctlFiles(f *Facts) (findings []diagnosis.Finding) {
	for _, need := range f.neededSysctls() {
		last := f.lastSetting(need.Key)
		if last.Value == "" || last.Value == need.Value {
			continue
		}
		const format = "%s sets %s to %s at boot, and networks need %s"
		found := diagnosis.Finding{
			Code: diagnosis.SysctlFile, Level: diagnosis.Warning,
			Summary:  fmt.Sprintf(format, last.File, dotted(need.Key), last.Value, need.Value),
			Evidence: []string{fmt.Sprintf("grep %s %s", last.typed(), last.File)},
			Mend:     []string{fmt.Sprintf(`sed -i 's|^ *-\?%s *=.*|# &|' %s`, last.typed(), last.File)},
		}
		if f.isWrongNow(need) {
			found.Level = diagnosis.Failure
			found.Mend = append(found.Mend, fmt.Sprintf("sysctl -w %s=%s", need.Key, need.Value), reload)
		}
		findings = append(findings, found)
	}
	return findings
}

// typed is the key as a pattern, with either separator.
func (s SysctlSetting) typed() string { return strings.ReplaceAll(s.Key, "/", "[./]") }

// neededSysctls are the parameters of the whole host without which nothing passes.
func (f *Facts) neededSysctls() (needs []kernel.Sysctl) {
	var v4, v6, hasIPv6 bool
	for _, n := range f.Networks {
		for _, s := range n.Subnets {
			isRouted := s.Gateway.IsValid() && !n.Internal
			v4 = v4 || isRouted && s.Prefix.Addr().Is4()
			v6 = v6 || isRouted && s.Prefix.Addr().Is6()
			hasIPv6 = hasIPv6 || s.Prefix.Addr().Is6()
		}
		hasIPv6 = hasIPv6 || n.VTEP.Local.Is6()
	}
	if v4 {
		needs = append(needs, kernel.Sysctl{Key: keyForward4, Value: "1"})
	}
	if v6 {
		needs = append(needs, kernel.Sysctl{Key: "net/ipv6/conf/all/forwarding", Value: "1"})
	}
	if hasIPv6 {
		needs = append(needs, kernel.Sysctl{Key: "net/ipv6/conf/all/disable_ipv6", Value: "0"})
	}
	return needs
}

const keyForward4 = "net/ipv4/ip_forward"

// lastSetting returns the setting of a parameter that counts: the last one. Forwarding of IPv4 has two
// names.
func (f *Facts) lastSetting(key string) (last SysctlSetting) {
	for _, s := range f.SysctlFiles {
		if s.Key == key || key == keyForward4 && s.Key == "net/ipv4/conf/all/forwarding" {
			last = s
		}
	}
	return last
}

// isWrongNow tells whether a reload would set a parameter.
func (f *Facts) isWrongNow(need kernel.Sysctl) bool {
	for _, c := range f.Changes {
		change, ok := c.Change.(kernel.SetSysctls)
		if !ok || c.Container != "" {
			continue
		}
		for _, s := range change.Sysctls {
			if s.Key == need.Key {
				return true
			}
		}
	}
	return false
}
