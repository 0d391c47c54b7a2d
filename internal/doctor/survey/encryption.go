package survey

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/regfile"
)

// encryption finds out how the kernel treats WireGuard devices, and who can read the keys.
func (c *collector) encryption() {
	encrypts := false
	for i := range c.Networks {
		n := &c.Networks[i]
		if !n.Encrypts() {
			continue
		}
		encrypts = true
		for _, name := range n.HostNetwork.WireGuard {
			if l, there := c.wireGuardLink(n, name.Name); there {
				n.WireGuard = append(n.WireGuard, l)
			}
		}
	}
	if encrypts {
		c.KeyFiles = unsafeKeyFiles(filepath.Join(c.on.Host.StoreDir, "wireguard"))
		_, err := os.Stat("/dev/net/tun")
		c.Kernel.NoTUN = errors.Is(err, fs.ErrNotExist) && !c.hasKernelWireGuard()
	}
}

// hasKernelWireGuard tells whether the kernel's WireGuard is there: loaded, built in, or as a module.
func (c *collector) hasKernelWireGuard() bool {
	if _, err := os.Stat("/sys/module/wireguard"); err == nil {
		return true
	}
	return slices.ContainsFunc([]string{"modules.builtin", "modules.dep"}, func(list string) bool {
		text, err := regfile.Read("/lib/modules/"+c.Kernel.Release+"/"+list, maxModuleList)
		return err == nil && strings.Contains(string(text), "/wireguard.ko")
	})
}

// maxModuleList is several times as much as a distribution's list of modules has.
const maxModuleList = 16 << 20

// wireGuardLink looks at a WireGuard device of a network.
func (c *collector) wireGuardLink(n *doctor.Network, name string) (l doctor.WireGuardLink, there bool) {
	link, err := c.ns.Link(name, 0)
	if err != nil || link.Alias != n.Alias() {
		return l, false
	}
	l = doctor.WireGuardLink{Name: name, Up: link.Up}
	for _, device := range []string{"all", name} {
		value, _ := c.ns.Sysctl("net/ipv4/conf/" + device + "/rp_filter")
		number, _ := strconv.Atoi(strings.TrimSpace(value))
		l.RPFilter = max(l.RPFilter, number)
	}
	var addrs []struct {
		AddrInfo []struct{ Family string } `json:"addr_info"`
	}
	c.gap("the addresses of "+name, c.readJSON(&addrs, "ip", "-j", "address", "show", "dev", name))
	for _, a := range addrs {
		l.HasIPv4 = l.HasIPv4 || slices.ContainsFunc(a.AddrInfo,
			func(i struct{ Family string }) bool { return i.Family == "inet" })
	}
	// Over IPv4 the kernel takes whoever is sent to by the device for a neighbour on it.
	if l.Up && n.VTEP.Local.Is6() && n.VTEP.WireGuard == name && len(n.VTEP.Remotes) > 0 {
		l.Astray = c.astray(name, n.VTEP.Local, n.VTEP.Remotes[0])
	}
	return l, true
}

// astray says where packets go that are to leave by a device; "": by that device.
func (c *collector) astray(device string, from, to netip.Addr) string {
	path, err := c.ns.RouteTo(to, device, from)
	switch {
	case err != nil:
		c.gap("the route to "+to.String()+" by "+device, err)
		return ""
	case path == kernel.Path{}:
		return "find no route"
	case path.Interface != device:
		return "leave by " + path.Interface
	}
	return ""
}

// unsafeKeyFiles returns the directory of private keys and the files in it that others than root can read or
// change.
func unsafeKeyFiles(dir string) (unsafe []doctor.KeyFile) {
	paths, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, path := range append([]string{dir}, paths...) {
		info, err := os.Lstat(path)
		if err != nil {
			continue
		}
		owner, _ := info.Sys().(*syscall.Stat_t)
		if info.Mode().Perm()&0o077 == 0 && owner.Uid == 0 {
			continue
		}
		file := doctor.KeyFile{Path: path, Mode: fmt.Sprintf("%04o, of user %d", info.Mode().Perm(), owner.Uid), Mend: "600"}
		if info.IsDir() {
			file.Mend = "700"
		}
		unsafe = append(unsafe, file)
	}
	return unsafe
}
