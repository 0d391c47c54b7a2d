package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"

	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/installed"
)

// checkKernel says what the kernel lacks.
func checkKernel(f *Facts) []diagnosis.Finding {
	if !f.Kernel.NoVXLAN {
		return nil
	}
	found := diagnosis.Finding{
		Code: diagnosis.KernelFeature, Level: diagnosis.Failure, Summary: "the kernel has no VXLAN devices",
		Evidence: []string{"uname -r prints " + f.Kernel.Release}, Mend: []string{"modprobe vxlan"},
	}
	if f.Kernel.NoModules {
		found.Evidence = append(found.Evidence, fmt.Sprintf("/lib/modules/%s does not exist", f.Kernel.Release))
		found.Mend = []string{"reboot   # into the kernel that is installed"}
	}
	return []diagnosis.Finding{found}
}

// parameterRule says which value of a kernel parameter keeps packets from passing.
type parameterRule struct {
	last   string // part of the key
	bad    string // value
	effect string
	better string
}

// parameterRules are about parameters that no network sets, since they are the administrator's.
var parameterRules = []parameterRule{
	{last: "forwarding", bad: "0", effect: "packets that arrive by it are not forwarded to containers", better: "1"},
	{last: "disable_ipv6", bad: "1", effect: "it has no IPv6", better: "0"},
	{last: "arp_ignore", bad: "8", effect: "nobody gets an answer who asks for an address of this host", better: "0"},
	{last: "proxy_arp_pvlan", bad: "1", effect: "it answers for the addresses of others, which then lose packets",
		better: "0"},
	{last: "mcast_solicit", bad: "0", effect: "it asks nobody for MACs, and so does not find others", better: "3"},
	{last: "ip_default_ttl", bad: "1", effect: "no packet that is sent here passes a router", better: "64"},
	{last: "hop_limit", bad: "1", effect: "no packet of IPv6 that is sent by it passes a router", better: "64"},
	{last: "icmp_echo_ignore_all", bad: "1", effect: "this host's gateways do not answer ping", better: "0"},
}

// checkParameters says which of the administrator's parameters keep packets from passing.
func checkParameters(f *Facts) (findings []diagnosis.Finding) {
	for _, key := range slices.Sorted(maps.Keys(f.Kernel.Parameters)) {
		value := f.Kernel.Parameters[key]
		r := badParameter(key, value)
		if r == nil {
			continue
		}
		found := diagnosis.Finding{
			Code: diagnosis.SysctlChanged, Level: diagnosis.Warning,
			Summary:  fmt.Sprintf("%s is %s: %s", dotted(key), value, r.effect),
			Evidence: []string{"sysctl " + key}, Mend: []string{fmt.Sprintf("sysctl -w %s=%s", key, r.better)},
		}
		if n := f.networkOfBridge(deviceOf(key)); n != "" && r.last == "disable_ipv6" { // it has lost its addresses
			found.Level, found.Network = diagnosis.Failure, n
			found.Mend = append(found.Mend, reload)
		}
		findings = append(findings, found)
	}
	return findings
}

// deviceOf returns the device of a parameter such as net/ipv6/conf/DEVICE/disable_ipv6.
func deviceOf(key string) string { return path.Base(path.Dir(key)) }

// badParameter returns the rule by which a parameter's value keeps packets from passing; nil: none.
func badParameter(key, value string) *parameterRule {
	i := slices.IndexFunc(parameterRules, func(r parameterRule) bool {
		return value == r.bad && strings.HasSuffix(key, "/"+r.last)
	})
	if i < 0 {
		return nil
	}
	return &parameterRules[i]
}

// Oldest versions that work.
const (
	oldestPodman   = "4.5"
	oldestNetavark = "1.6"
)

// InstallAgain is what to do when a program of the driver is not there.
var InstallAgain = "install the driver again: see " + installed.Page("install.md")

// checkPodman says which programs are missing or too old.
func checkPodman(f *Facts) (findings []diagnosis.Finding) {
	for _, p := range []struct{ name, have, oldest string }{
		{"Podman", f.Podman.Version, oldestPodman}, {"netavark", f.Podman.Netavark, oldestNetavark},
	} {
		if p.have != "" && Older(p.have, p.oldest) {
			findings = append(findings, diagnosis.Finding{
				Code: diagnosis.PodmanVersion, Level: diagnosis.Failure,
				Summary:  fmt.Sprintf("%s has the version %s; %s or newer is needed", p.name, p.have, p.oldest),
				Evidence: []string{p.name + " prints " + p.have}, Mend: []string{"upgrade the package"},
			})
		}
	}
	if why := f.Podman.NoNetavark; why != "" {
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.ProgramMissing, Level: diagnosis.Failure,
			Summary:  "Podman finds no netavark, so no container with a network starts",
			Evidence: []string{why}, Mend: []string{cmp.Or(f.Podman.Reinstall, "install the package netavark again")},
		})
	}
	for _, s := range f.Podman.Astray {
		found := diagnosis.Finding{
			Code: diagnosis.ProgramMissing, Level: diagnosis.Failure,
			Summary: "netavark finds no plugin vxlan where containers.conf says, so no container of a VXLAN network starts",
			Mend:    []string{s.Disable},
		}
		if s.Key == "network_config_dir" {
			found.Code = diagnosis.RecordLost
			found.Summary = "Podman looks for networks in another directory, and does not know those of its containers"
		}
		found.Evidence = []string{fmt.Sprintf("%s says %s = %q", s.File, s.Key, s.Values)}
		findings = append(findings, found)
	}
	if o := f.Podman.Obstacle; f.Podman.PluginDir == "" && o.Path != "" {
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.ProgramMissing, Level: diagnosis.Failure,
			Summary:  fmt.Sprintf("netavark cannot execute the plugin %s", o.Path),
			Evidence: []string{o.Why}, Mend: []string{o.Mend},
		})
	} else if f.Podman.PluginDir == "" {
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.ProgramMissing, Level: diagnosis.Failure,
			Summary: "netavark finds no plugin vxlan, so no container of a VXLAN network starts",
			Evidence: []string{"it looks in /usr/local/libexec/netavark, /usr/libexec/netavark, /usr/local/lib/netavark, " +
				"/usr/lib/netavark"},
			Mend: []string{InstallAgain},
		})
	}
	return findings
}

// Older tells whether a version is before another one.
func Older(version, than string) bool {
	have, want := versionNumbers(version), versionNumbers(than)
	return slices.Compare(have, want) < 0
}

func versionNumbers(version string) (numbers []int) {
	for part := range strings.SplitSeq(version, ".") {
		n := 0
		if _, err := fmt.Sscanf(part, "%d", &n); err != nil {
			break
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// checkDenials says what SELinux or AppArmor has denied the driver lately.
func checkDenials(f *Facts) (findings []diagnosis.Finding) {
	for _, d := range f.Denials {
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.SecurityDenied, Level: diagnosis.Warning,
			Summary:  fmt.Sprintf("%s has denied something to %s", d.By, d.Program),
			Evidence: []string{cut(d.Text, maxLine)}, Mend: d.Mend,
		})
	}
	return findings
}

// checkLock says who keeps all others from changing the networks of this host.
func checkLock(f *Facts) []diagnosis.Finding {
	h := f.LockHolder
	if h.Path == "" {
		return nil
	}
	found := diagnosis.Finding{
		Code: diagnosis.LockHeld, Level: diagnosis.Failure,
		Summary:  fmt.Sprintf("a process has had the lock %s for long, and no container starts or stops meanwhile", h.Path),
		Evidence: []string{"cat /proc/locks"}, Mend: []string{"fuser -k " + h.Path},
	}
	if len(h.PIDs) > 0 {
		const format = "process %d (%s) has had the lock %s for long, and no container starts or stops meanwhile"
		found.Summary = fmt.Sprintf(format, h.PIDs[0], h.Program, h.Path)
		found.Mend = []string{"kill " + strings.Trim(fmt.Sprint(h.PIDs), "[]")}
	}
	return []diagnosis.Finding{found}
}

// checkLimits says which tables are nearly full.
func checkLimits(f *Facts) (findings []diagnosis.Finding) {
	codes := map[string]diagnosis.Code{"connections": diagnosis.ConntrackFull}
	for _, l := range f.Limits {
		full := l.Max > 0 && l.Used >= l.Max-l.Max/20
		if !full && l.Drops == 0 {
			continue
		}
		code, known := codes[l.Name]
		if !known {
			code = diagnosis.NeighboursFull
		}
		found := diagnosis.Finding{
			Code: code, Level: diagnosis.Failure,
			Summary: fmt.Sprintf("the table of %s is full: %d of %d entries", l.Name, l.Used, l.Max),
			Mend:    []string{fmt.Sprintf("sysctl -w %s=%d", l.Parameter, roundUp(max(4*l.Max, 4*l.Used)))},
		}
		found.Evidence = []string{"sysctl " + l.Parameter}
		if l.Drops > 0 {
			found.Evidence = []string{fmt.Sprintf("%d entries found no room", l.Drops)}
		}
		findings = append(findings, found)
	}
	return findings
}

// leastFree is more than the records of a few containers take.
const leastFree = 64 << 10

// checkDirs says where the driver cannot write what it has to keep.
func checkDirs(f *Facts) (findings []diagnosis.Finding) {
	for _, d := range f.Dirs {
		found := diagnosis.Finding{Code: diagnosis.DirUnwritable, Level: diagnosis.Failure,
			Evidence: []string{"df " + d.Path + "; df -i " + d.Path}}
		switch {
		case d.ReadOnly:
			found.Summary = fmt.Sprintf("%s is read-only", d.Path)
			found.Evidence = []string{"findmnt -T " + d.Path}
			found.Mend = []string{"mount -o remount,rw " + d.MountedAt + " || mount -o remount,bind,rw " + d.MountedAt}
		case d.Free < leastFree || d.NoFiles:
			found.Summary = fmt.Sprintf("the file system of %s is full", d.Path)
			found.Mend = []string{"free some space on " + d.MountedAt + ": du -xh " + d.MountedAt + " | sort -h | tail"}
		default:
			continue
		}
		findings = append(findings, found)
	}
	return findings
}

// roundUp returns a power of two, as the kernel's own defaults are.
func roundUp(n int) int {
	p := 1024
	for p < n {
		p *= 2
	}
	return p
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// lastLine is the last of several lines, where the first say where it is.
func lastLine(text string) string {
	lines := splitLines(text)
	if len(lines) == 0 {
		return ""
	}
	return lines[len(lines)-1]
}

func prefixed(prefix string, list []string) (lines []string) {
	for _, text := range list {
		lines = append(lines, prefix+text)
	}
	return lines
}

func addrTexts(addrs []netip.Addr) (texts []string) {
	for _, a := range addrs {
		texts = append(texts, a.String())
	}
	return texts
}

func splitLines(text string) (lines []string) {
	for line := range strings.Lines(strings.TrimSpace(text)) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

// missingTools says which programs are missing by which a host is looked at.
func (f *Facts) missingTools() (findings []diagnosis.Finding) {
	for _, g := range f.Gaps {
		if g.Lacks == "" {
			continue
		}
		summary := fmt.Sprintf("the program %s cannot be run, so a part of this host could not be looked at", g.Lacks)
		i := slices.IndexFunc(findings, func(o diagnosis.Finding) bool { return o.Summary == summary })
		if i < 0 {
			i = len(findings)
			findings = append(findings, diagnosis.Finding{
				Code: diagnosis.FactUnknown, Level: diagnosis.Unknown, Summary: summary,
				Mend: []string{cmp.Or(g.Install, "install the package that has "+g.Lacks)},
			})
		}
		findings[i].Evidence = append(findings[i].Evidence, fmt.Sprintf("%s: %s", g.What, firstLine(g.Why)))
	}
	for i := range findings {
		findings[i].Evidence = atMost(findings[i].Evidence, maxEvidence)
	}
	return findings
}

// ContainersSetting is a setting of containers.conf(5).
type ContainersSetting struct {
	Key, File string
	Values    []string
	Disable   string // the command that makes a comment of it
}
