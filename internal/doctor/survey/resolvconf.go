package survey

import (
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/regfile"
)

// resolvConfs finds out which containers do not ask their network's name server: somebody has edited the
// file that says so, or no agent was installed when they started.
func (c *collector) resolvConfs() {
	var ids []string
	for _, n := range c.Networks {
		for _, e := range n.Endpoints[:min(len(n.Endpoints), maxPorts)] {
			if len(n.Resolvers()) > 0 && e.ContainerName != "" {
				ids = append(ids, e.ContainerID)
			}
		}
	}
	if len(ids) == 0 {
		return
	}
	out, err := c.run("podman", append([]string{
		"inspect", "--type", "container", "--format", "{{.Id}} {{.ResolvConfPath}}"}, ids...)...)
	if err != nil {
		return // one is ending, or the agent's unit does not see Podman's containers
	}
	paths := make(map[string]string)
	for line := range strings.Lines(out) {
		id, path, _ := strings.Cut(strings.TrimSpace(line), " ")
		paths[id] = path // "": its file is the user's own
	}
	for i := range c.Networks {
		n := &c.Networks[i]
		for _, e := range n.Endpoints[:min(len(n.Endpoints), maxPorts)] {
			text, err := regfile.ReadText(paths[e.ContainerID])
			if err != nil || len(n.Resolvers()) == 0 {
				continue
			}
			servers := serversIn(string(text))
			asks := func(a netip.Addr) bool { return slices.Contains(servers, a) }
			if !slices.ContainsFunc(n.Resolvers(), asks) {
				n.Misled = append(n.Misled,
					doctor.MisledContainer{Name: e.ContainerName, Path: paths[e.ContainerID], Servers: servers})
			}
		}
	}
}

// serversIn returns the name servers that a text of resolv.conf(5) names.
func serversIn(text string) (servers []netip.Addr) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil {
			servers = append(servers, a)
		}
	}
	return servers
}
