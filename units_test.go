package vxlandriver

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var confinedUnits = []string{
	"packaging/systemd/vxland.service", "packaging/systemd/vxlan-reload@.service",
	"packaging/systemd/vxland-wireguard@.service",
}

// maxExposure is what `systemd-analyze security` may say of a unit, in tenths. A service of root
// that is not confined has 96.
const maxExposure = "40"

// The lab shows the same with a systemd that runs, and that the agent can do its work.
func TestUnitsAreConfined(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	for _, unit := range confinedUnits {
		dir := t.TempDir()
		data, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, strings.Replace(filepath.Base(unit), "@", "@nftables", 1))
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(tool, "security", "--no-pager", "--offline=true", "--threshold="+maxExposure, path)
		out, err := cmd.CombinedOutput()
		if strings.Contains(string(out), "unrecognized option") {
			t.Skip("systemd-analyze knows no --offline (before systemd 250)")
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
	}
}

// The process that every encrypted packet of another host reaches has no right that the agent lacks, and sees
// none of the driver's files.
func TestUnitOfWireGuardHasLessRights(t *testing.T) {
	agent, process := confinement(t, confinedUnits[0]), confinement(t, confinedUnits[2])
	rights := func(settings []string, name string) []string {
		for _, s := range settings {
			if list, ok := strings.CutPrefix(s, name+"="); ok {
				return strings.Fields(list)
			}
		}
		t.Fatalf("no %s", name)
		return nil
	}
	for _, name := range []string{"CapabilityBoundingSet", "RestrictAddressFamilies"} {
		more := rights(agent, name)
		for _, right := range rights(process, name) {
			if !slices.Contains(more, right) {
				t.Errorf("%s=%s is not the agent's", name, right)
			}
		}
	}
	for _, want := range []string{"NoNewPrivileges=yes", "RestrictNamespaces=yes", "ProtectSystem=strict",
		"MemoryDenyWriteExecute=yes", "InaccessiblePaths=-/etc/vxlan -/var/lib/vxlan -/run/vxlan"} {
		if !slices.Contains(process, want) {
			t.Errorf("no %s", want)
		}
	}
}

// Both units do the same to the host, so they need the same.
func TestUnitsAreConfinedAlike(t *testing.T) {
	agent, reload := confinement(t, confinedUnits[0]), confinement(t, confinedUnits[1])
	if len(agent) < 20 || !reflect.DeepEqual(agent, reload) {
		t.Errorf("the agent's unit has\n%s\nthe other\n%s", strings.Join(agent, "\n"), strings.Join(reload, "\n"))
	}
}

// confinement returns the settings of a unit that confine it, in their order.
func confinement(t *testing.T, unit string) (settings []string) {
	t.Helper()
	data, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(data), "CapabilityBoundingSet=")
	if !found {
		t.Fatalf("%s sets no capabilities", unit)
	}
	for line := range strings.Lines("CapabilityBoundingSet=" + rest) {
		switch line = strings.TrimSpace(line); {
		case line == "[Install]":
			return settings
		// Only the agent has files that outlive a boot.
		case line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "StateDirectory") || strings.HasPrefix(line, "ConfigurationDirectory"):
		default:
			settings = append(settings, line)
		}
	}
	return settings
}
