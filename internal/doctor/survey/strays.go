package survey

import (
	"os"
	"path/filepath"
	"slices"

	"vxlan-driver/internal/doctor"
)

// maxNamespaces bounds in how many network namespaces a device is looked for.
const maxNamespaces = 64

// strays finds VXLAN devices of networks that somebody has moved into another network namespace. They
// keep the VNI in this one, so that none can take their place.
func (c *collector) strays() {
	var namespaces []string
	for i := range c.Networks {
		n := &c.Networks[i]
		if _, err := c.ns.Link(n.Device.Name, 0); err == nil {
			continue
		}
		if namespaces == nil {
			namespaces = otherNamespaces()
		}
		for _, path := range namespaces {
			var links []struct{ Ifalias string }
			if c.readJSON(&links, "nsenter", "--net="+path, "ip", "-j", "link", "show", "type", "vxlan") != nil {
				continue // it is ending
			}
			if slices.ContainsFunc(links, func(l struct{ Ifalias string }) bool { return l.Ifalias == n.Alias() }) {
				n.Stray = path
			}
		}
	}
}

// otherNamespaces returns the paths of network namespaces beside this one: those with a name, and those
// of processes.
func otherNamespaces() (paths []string) {
	var seen []os.FileInfo
	isSeen := func(info os.FileInfo) bool {
		return slices.ContainsFunc(seen, func(s os.FileInfo) bool { return os.SameFile(s, info) })
	}
	if own, err := os.Stat("/proc/self/ns/net"); err == nil {
		seen = append(seen, own)
	}
	for _, pattern := range []string{"/run/netns/*", "/run/docker/netns/*", "/proc/[0-9]*/ns/net"} {
		found, _ := filepath.Glob(pattern)
		for _, path := range found {
			info, err := os.Stat(path)
			if err != nil || isSeen(info) || len(paths) >= maxNamespaces {
				continue
			}
			seen, paths = append(seen, info), append(paths, path)
		}
	}
	return paths
}

// collectors finds the VXLAN devices that take packets of all VNIs on their port.
func (c *collector) collectors() {
	var links []struct {
		Ifname   string
		Flags    []string
		LinkInfo struct {
			Data struct {
				External bool
				Port     uint16
			} `json:"info_data"`
		} `json:"linkinfo"`
	}
	c.gap("VXLAN devices", c.readJSON(&links, "ip", "-j", "-d", "link", "show", "type", "vxlan"))
	for _, l := range links {
		if d := l.LinkInfo.Data; d.External && slices.Contains(l.Flags, "UP") {
			c.Collectors = append(c.Collectors, doctor.Collector{Name: l.Ifname, Port: d.Port})
		}
	}
}
