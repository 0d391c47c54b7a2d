package survey

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/podmannet"
	"vxlan-driver/internal/regfile"
)

// networksDir is where Podman keeps its networks.
const networksDir = "/etc/containers/networks"

// UpgradeHost finds out by what an upgrade of Podman would concern the host. What it cannot find out
// it leaves out, but Podman's version.
func UpgradeHost(ctx context.Context) (h doctor.UpgradeHost, err error) {
	c := collector{ctx: ctx}
	c.podman()
	if c.Podman.Version == "" {
		return h, fmt.Errorf("find out the version of Podman: podman --version failed")
	}
	h.Podman, h.Netavark = c.Podman.Version, c.Podman.Netavark
	info := func(field string) string {
		out, _ := c.run("podman", "info", "--format", "{{.Host."+field+"}}") // a version may lack the field
		return strings.TrimSpace(out)
	}
	h.Backend, h.Database, h.Cgroups = info("NetworkBackend"), info("DatabaseBackend"), info("CgroupsVersion")
	h.FirewallDriver, h.FirewallFile = containersSetting("firewall_driver")
	_, err = exec.LookPath("nft")
	h.NoNFT = err != nil
	networks, _ := podmannet.List(networksDir, "vxlan")
	for _, n := range networks {
		options, err := podmannet.Options(n.Data)
		if _, isSet := options["isolate"]; err == nil && !isSet {
			h.Open = append(h.Open, n.Name)
		}
	}
	c.upgradeContainers(&h)
	return h, nil
}

// containersSetting returns what containers.conf(5) says, and in which file: the last one counts.
func containersSetting(key string) (value, file string) {
	for _, path := range containersFiles() {
		text, err := regfile.ReadText(path)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			name, set, ok := strings.Cut(line, "=")
			if ok && strings.TrimSpace(name) == key {
				value, file = strings.Trim(strings.TrimSpace(set), `"`), path
			}
		}
	}
	return value, file
}

// inspected is what `podman inspect` says of a container.
type inspected struct {
	Name            string
	Config          struct{ CreateCommand []string }
	NetworkSettings struct{ Networks map[string]any }
}

func (c *collector) upgradeContainers(h *doctor.UpgradeHost) {
	ids, err := c.run("podman", "ps", "--all", "--quiet")
	if err != nil || strings.TrimSpace(ids) == "" {
		return
	}
	out, err := c.run("podman", append([]string{"inspect", "--type", "container"}, strings.Fields(ids)...)...)
	var all []inspected
	if err != nil || json.Unmarshal([]byte(out), &all) != nil {
		return
	}
	AddContainers(h, all)
}

// AddContainers adds the containers that an upgrade may concern.
func AddContainers(h *doctor.UpgradeHost, all []inspected) {
	for _, i := range all {
		if len(i.NetworkSettings.Networks) > 1 {
			h.Several = append(h.Several, i.Name)
		}
		isFixed := slices.ContainsFunc(i.Config.CreateCommand, func(arg string) bool {
			return arg == "--ip" || arg == "--ip6" || strings.HasPrefix(arg, "--ip=") || strings.HasPrefix(arg, "--ip6=") ||
				strings.Contains(arg, ":ip=") || strings.Contains(arg, ",ip=")
		})
		if isFixed && len(i.NetworkSettings.Networks) > 0 {
			h.Fixed = append(h.Fixed, i.Name)
		}
	}
}
