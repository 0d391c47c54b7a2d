package survey

import (
	"bufio"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/network"
)

// sockets finds out which programs have the ports that are needed.
func (c *collector) sockets() {
	ports := map[uint16]bool{c.Agent.Port: true}
	for _, n := range c.Networks {
		ports[n.Tunnel.Port] = true
		if p := n.EncryptionPort; p != 0 {
			ports[p], ports[network.OtherPort(p)] = true, true
		}
	}
	owners := make(map[string]doctor.Socket)
	for _, path := range []string{"/proc/self/net/udp", "/proc/self/net/udp6", "/proc/self/net/tcp",
		"/proc/self/net/tcp6"} {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // IPv6 may be off
		}
		for _, s := range ParseSockets(string(text)) {
			if ports[s.Addr.Port()] {
				owners["socket:["+s.inode+"]"] = s.Socket
			}
		}
	}
	if len(owners) > 0 {
		c.Sockets = withPrograms(owners)
	}
}

// listedSocket is a line of /proc/net/udp or tcp.
type listedSocket struct {
	doctor.Socket
	inode string
}

// ParseSockets reads the sockets that listen, as the kernel lists them (proc_pid_net(5)).
func ParseSockets(text string) (all []listedSocket) {
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		const stateClose, stateListen = "07", "0A"
		if len(fields) < 10 || fields[3] != stateClose && fields[3] != stateListen {
			continue
		}
		_, port, ok := strings.Cut(fields[1], ":")
		number, err := strconv.ParseUint(port, 16, 16)
		if !ok || err != nil {
			continue
		}
		all = append(all,
			listedSocket{doctor.Socket{Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(number))}, fields[9]})
	}
	return all
}

// withPrograms finds out which processes have sockets. The kernel's own, as of tunnels, have none.
func withPrograms(owners map[string]doctor.Socket) (all []doctor.Socket) {
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		target, err := os.Readlink(link)
		s, wanted := owners[target]
		if err != nil || !wanted {
			continue
		}
		delete(owners, target)
		process := strings.Split(link, "/")[2]
		s.PID, _ = strconv.Atoi(process)
		name, _ := os.ReadFile("/proc/" + process + "/comm")
		s.Program = strings.TrimSpace(string(name))
		all = append(all, s)
	}
	return slices.AppendSeq(all, maps.Values(owners))
}
