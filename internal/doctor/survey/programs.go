package survey

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"vxlan-driver/internal/doctor"
)

const programTimeout = 5 * time.Second

// run runs a program, and returns what it prints.
func (c *collector) run(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(c.ctx, programTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return string(out), nil
}

// readJSON runs a program that prints JSON.
func (c *collector) readJSON(to any, name string, args ...string) error {
	out, err := c.run(name, args...)
	if err != nil || strings.TrimSpace(out) == "" {
		return err
	}
	if err := json.Unmarshal([]byte(out), to); err != nil {
		return fmt.Errorf("%s %s: read its output: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

// netavarkPaths are where distributions install netavark.
var netavarkPaths = []string{"/usr/local/libexec/podman/netavark", "/usr/libexec/podman/netavark", "/usr/local/lib/podman/netavark", "/usr/lib/podman/netavark"}

// pluginDirs are where netavark looks for plugins (netavark-plugins(7), containers.conf(5)).
var pluginDirs = []string{"/usr/local/libexec/netavark", "/usr/libexec/netavark", "/usr/local/lib/netavark", "/usr/lib/netavark"}

func (c *collector) podman() {
	if out, err := c.run("podman", "--version"); err == nil {
		c.Podman.Version = lastWord(out)
	}
	for _, path := range netavarkPaths {
		if out, err := c.run(path, "--version"); err == nil {
			c.Podman.Netavark = lastWord(out)
			break
		}
	}
	for _, dir := range pluginDirs {
		if info, err := os.Stat(filepath.Join(dir, "vxlan")); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			c.Podman.PluginDir = dir
			break
		}
	}
}

func lastWord(text string) string {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return ""
	}
	return fields[len(fields)-1]
}

// hooks finds out what is attached to the devices that packets of networks pass.
func (c *collector) hooks() {
	var devices []string
	add := func(name string) {
		if name != "" && !slices.Contains(devices, name) {
			devices = append(devices, name)
		}
	}
	for _, n := range c.Networks {
		add(n.VTEP.Interface)
		add(n.Bridge.Name)
		add(n.Device.Name)
		for _, e := range n.Endpoints[:min(len(n.Endpoints), maxPorts)] {
			add(n.Port(e.Endpoint))
		}
	}
	for _, d := range devices {
		if _, err := c.ns.Link(d, 0); err != nil {
			continue // see the checks of devices
		}
		hooks, err := c.hooksOf(d)
		if err != nil {
			c.gap("filters of devices", err)
			return
		}
		c.Hooks = append(c.Hooks, hooks...)
	}
}

// maxPorts bounds how many containers' ports are looked at, each by running programs.
const maxPorts = 8

func (c *collector) hooksOf(device string) (hooks []doctor.DeviceHook, err error) {
	for _, side := range []string{"ingress", "egress"} {
		text, err := c.run("tc", "filter", "show", "dev", device, side)
		if err != nil {
			return nil, err
		}
		if hook, found := FilterHook(device, side, text, c.isOwnDevice(device)); found {
			hooks = append(hooks, hook)
		}
	}
	text, err := c.run("tc", "qdisc", "show", "dev", device)
	if err != nil {
		return nil, err
	}
	if strings.Contains(text, "qdisc netem") {
		hooks = append(hooks, doctor.DeviceHook{
			Device: device, What: "qdisc netem", Drops: true, Text: strings.TrimSpace(text), Remove: "tc qdisc delete dev " + device + " root",
		})
	}
	text, err = c.run("ip", "-d", "link", "show", "dev", device)
	if err == nil && strings.Contains(text, "prog/xdp") {
		hooks = append(hooks, doctor.DeviceHook{Device: device, What: "XDP program", Text: xdpLine(text), Remove: "ip link set dev " + device + " xdp off"})
	}
	return hooks, nil
}

func xdpLine(text string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, "prog/xdp") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// isOwnDevice tells whether the driver has filters of its own on a device.
func (c *collector) isOwnDevice(name string) bool {
	return slices.ContainsFunc(c.Networks, func(n doctor.Network) bool { return n.Device.Name == name })
}

// FilterHook makes a hook of what tc prints of a device's filters, if there are any of other
// programs'. On a device of the driver's own those that redirect to a port are its own.
func FilterHook(device, side, text string, isOwn bool) (doctor.DeviceHook, bool) {
	drops := strings.Contains(text, "action drop") || !isOwn && strings.Contains(text, "Redirect to device")
	others := strings.TrimSpace(text) != "" && (!isOwn || drops)
	if !others {
		return doctor.DeviceHook{}, false
	}
	remove := fmt.Sprintf("tc filter delete dev %s %s", device, side)
	if isOwn {
		remove = fmt.Sprintf("tc qdisc delete dev %s clsact; vxlanctl reload", device)
	}
	return doctor.DeviceHook{
		Device: device, What: "tc filter at " + side, Drops: drops && dropsTunnel(text),
		Text: strings.Join(strings.Fields(text), " "), Remove: remove,
	}, true
}

// dropsTunnel tells whether a filter that drops surely matches VXLAN packets or all packets: it has
// no condition, or that of UDP alone, or of the port.
func dropsTunnel(text string) bool {
	for _, condition := range []string{"matchall", "12b5", "dst_port 4789", "match 00110000/00ff0000 at 8", "match 00000000/00000000 at 0"} {
		if strings.Contains(text, condition) {
			return true
		}
	}
	return !strings.Contains(text, "match ") && !strings.Contains(text, "bpf")
}

// routing finds out which routes and rules lead packets elsewhere.
func (c *collector) routing() {
	for _, family := range []string{"-4", "-6"} {
		for _, kind := range []string{"blackhole", "unreachable", "prohibit"} {
			var routes []struct{ Dst, Table string }
			if err := c.readJSON(&routes, "ip", "-j", family, "route", "show", "table", "all", "type", kind); err != nil {
				c.gap("routes that lead nowhere", err)
				return
			}
			for _, r := range routes {
				c.Routing.DeadEnds = append(c.Routing.DeadEnds, deadEnd(kind, family, r.Dst, r.Table))
			}
		}
		var rules []map[string]any
		if err := c.readJSON(&rules, "ip", "-j", family, "rule"); err != nil {
			c.gap("rules of routing", err)
			return
		}
		for _, r := range rules {
			if rule, foreign := describeRule(family, r); foreign {
				c.Routing.Rules = append(c.Routing.Rules, rule)
			}
		}
	}
}

// deadEnd reads a route's destination as ip prints it.
func deadEnd(kind, family, dst, table string) doctor.Route {
	r := doctor.Route{Type: kind, Table: table, Delete: fmt.Sprintf("ip %s route delete %s %s", family, kind, dst)}
	if table != "" && table != "main" {
		r.Delete += " table " + table
	}
	prefix, err := netip.ParsePrefix(dst)
	if addr, addrErr := netip.ParseAddr(dst); err != nil && addrErr == nil {
		prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if dst == "default" {
		prefix, err = netip.PrefixFrom(netip.IPv4Unspecified(), 0), nil
		if family == "-6" {
			prefix = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
	}
	if err == nil {
		r.Dst = prefix
	}
	return r
}

// describeRule prints a rule of policy routing, and tells whether it is not one of the kernel's own.
func describeRule(family string, r map[string]any) (doctor.Rule, bool) {
	priority, _ := r["priority"].(float64)
	table, _ := r["table"].(string)
	if priority == 0 && table == "local" || priority == 32766 && table == "main" || priority == 32767 && table == "default" {
		return doctor.Rule{}, false
	}
	keys := make([]string, 0, len(r))
	for key := range r {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	var parts []string
	for _, key := range keys {
		parts = append(parts, fmt.Sprintf("%s %v", key, r[key]))
	}
	return doctor.Rule{Text: strings.Join(parts, " "), Delete: fmt.Sprintf("ip %s rule delete priority %.0f", family, priority)}, true
}

// pathMTU returns the MTU that the kernel has of a path, by a route or by what a router said.
func (c *collector) pathMTU(to netip.Addr) int {
	var routes []struct{ Metrics []struct{ MTU int } }
	if err := c.readJSON(&routes, "ip", "-j", "route", "get", to.String()); err != nil {
		return 0 // there is no route, which is found otherwise
	}
	for _, r := range routes {
		for _, m := range r.Metrics {
			if m.MTU > 0 {
				return m.MTU
			}
		}
	}
	return 0
}

// sockets finds out which programs have the ports that are needed.
func (c *collector) sockets() {
	ports := map[uint16]bool{c.Agent.Port: true}
	for _, n := range c.Networks {
		ports[n.Tunnel.Port] = true
	}
	owners := make(map[string]doctor.Socket)
	for _, path := range []string{"/proc/self/net/udp", "/proc/self/net/udp6", "/proc/self/net/tcp", "/proc/self/net/tcp6"} {
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
		all = append(all, listedSocket{doctor.Socket{Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(number))}, fields[9]})
	}
	return all
}

// withPrograms finds out which processes have sockets. Those of the kernel have none.
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
	return all
}
