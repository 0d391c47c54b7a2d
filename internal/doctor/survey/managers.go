package survey

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/regfile"
)

// managers finds out which programs manage devices of networks.
func (c *collector) managers() {
	states := c.networkManager()
	for _, n := range c.Networks {
		devices := ownDevices(n)
		add := func(m doctor.Manager, found bool) {
			if found {
				m.Network = n.Name
				c.Managers = append(c.Managers, m)
			}
		}
		add(NetworkManager(n.Name, devices, states))
		add(Networkd(n.Name, devices, c.networkdFiles(devices)))
		add(c.udev(n.Name, devices))
		for _, d := range otherDaemons {
			add(d.find(devices))
		}
	}
}

// ownDevices are the names of a network's devices on this host.
func ownDevices(n doctor.Network) []string {
	names := []string{n.Bridge.Name, n.Device.Name}
	for _, e := range n.Endpoints {
		names = append(names, n.Port(e.Endpoint))
	}
	return names
}

// devicePatterns are names and patterns of a network's devices, as NetworkManager and systemd take
// them. Containers that start later have further ports.
func devicePatterns(devices []string) (patterns []string) {
	const ofPorts = "veth???????????"
	for _, d := range devices {
		if isMatch, _ := filepath.Match(ofPorts, d); isMatch {
			d = ofPorts
		}
		if !slices.Contains(patterns, d) {
			patterns = append(patterns, d)
		}
	}
	return patterns
}

// networkManager returns the states of devices as nmcli prints them, if NetworkManager runs.
func (c *collector) networkManager() string {
	if _, err := os.Stat("/run/NetworkManager"); err != nil {
		return ""
	}
	text, err := c.run("nmcli", "-t", "-f", "DEVICE,STATE,CONNECTION", "device")
	if err != nil {
		return "" // it does not run any more
	}
	return text
}

// NetworkManager finds the devices that NetworkManager manages in what nmcli prints.
func NetworkManager(network string, devices []string, text string) (m doctor.Manager, found bool) {
	m.Program = "NetworkManager"
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) == 3 && slices.Contains(devices, fields[0]) && !strings.HasPrefix(fields[1], "unmanaged") {
			m.Devices = append(m.Devices, fields[0])
			const format = "nmcli device shows %s as %s, by the connection %q"
			m.Evidence = append(m.Evidence, fmt.Sprintf(format, fields[0], fields[1], fields[2]))
		}
	}
	var names []string
	for _, d := range devicePatterns(devices) {
		names = append(names, "interface-name:"+d)
	}
	const write = `printf '[device-%s]\nmatch-device=%s\nmanaged=0\n' >/etc/NetworkManager/conf.d/90-vxlan-%s.conf`
	m.Leave = []string{fmt.Sprintf(write, network, strings.Join(names, ","), network), "nmcli general reload"}
	for _, d := range devices { // it may be about to manage the others too
		m.Leave = append(m.Leave, "nmcli device set "+d+" managed no")
	}
	return m, len(m.Devices) > 0
}

// networkdFiles returns what systemd-networkd keeps of devices (sd-network(3)), by their names.
func (c *collector) networkdFiles(devices []string) map[string]string {
	states := make(map[string]string)
	for _, d := range devices {
		index, err := c.ns.Index(d)
		if err != nil {
			continue
		}
		if text, err := regfile.ReadText(filepath.Join("/run/systemd/netif/links", strconv.Itoa(index))); err == nil {
			states[d] = string(text)
		}
	}
	return states
}

// Networkd finds the devices that systemd-networkd manages in its files, of which each device has
// one.
func Networkd(network string, devices []string, files map[string]string) (m doctor.Manager, found bool) {
	m.Program = "systemd-networkd"
	for device, text := range files {
		state := valueOf(text, "ADMIN_STATE")
		if slices.Contains([]string{"", "unmanaged", "pending", "initialized"}, state) {
			continue
		}
		m.Devices = append(m.Devices, device)
		const format = "networkctl shows %s as %s, by the file %s"
		m.Evidence = append(m.Evidence, fmt.Sprintf(format, device, state, valueOf(text, "NETWORK_FILE")))
	}
	slices.Sort(m.Devices)
	slices.Sort(m.Evidence)
	const write = `printf '[Match]\nName=%s\n[Link]\nUnmanaged=yes\n' >/etc/systemd/network/00-vxlan-%s.network`
	m.Leave = []string{
		fmt.Sprintf(write, strings.Join(devicePatterns(devices), " "), network),
		"networkctl reload || systemctl restart systemd-networkd",
	}
	return m, len(m.Devices) > 0
}

// valueOf returns the value of a line KEY=VALUE.
func valueOf(text, key string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), key+"="); ok {
			return value
		}
	}
	return ""
}

// udev finds the .link files by which systemd-udevd has set up devices. What they change shows in the
// devices.
func (c *collector) udev(network string, devices []string) (m doctor.Manager, found bool) {
	m.Program = "systemd-udevd"
	for _, d := range devices {
		index, err := c.ns.Index(d)
		if err != nil {
			continue
		}
		record, err := regfile.ReadText(fmt.Sprintf("/run/udev/data/n%d", index))
		if err != nil {
			continue
		}
		file := valueOf(string(record), "E:ID_NET_LINK_FILE")
		text, err := regfile.ReadText(file)
		if settings, kinds := LinkSettings(string(text)); err == nil && len(settings) > 0 {
			m.Devices, m.Only = append(m.Devices, d), append(m.Only, kinds...)
			m.Evidence = append(m.Evidence, fmt.Sprintf("%s was set up by %s: %s", d, file, strings.Join(settings, ", ")))
		}
	}
	const write = `printf '[Match]\nOriginalName=%s\n[Link]\nNamePolicy=keep\nMACAddressPolicy=none\n' ` +
		`>/etc/systemd/network/00-vxlan-%s.link`
	m.Leave = []string{
		fmt.Sprintf(write, strings.Join(devicePatterns(devices), " "), network),
		"udevadm control --reload",
	}
	return m, len(m.Devices) > 0
}

// LinkSettings are those of a .link file that change a device of a network (systemd.link(5)).
func LinkSettings(text string) (settings []string, kinds []doctor.ChangeKind) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		key, value, _ := strings.Cut(line, "=")
		kind := map[string]doctor.ChangeKind{
			"MACAddress": doctor.ChangeMAC, "MACAddressPolicy": doctor.ChangeMAC,
			"MTUBytes": doctor.ChangeMTU, "Name": doctor.ChangeName,
		}[key]
		if kind != "" && value != "none" {
			settings, kinds = append(settings, line), append(kinds, kind)
		}
	}
	return settings, kinds
}

// otherDaemon is a program that configures all devices which its configuration does not exclude.
type otherDaemon struct {
	program, process string
	config           string // file
	key              string // of the line that excludes devices
	separator        string
	beginning        bool // it excludes what begins so; else shell patterns
	line             string
	restart          string
}

var otherDaemons = []otherDaemon{
	{
		program: "dhcpcd", process: "dhcpcd", config: "/etc/dhcpcd.conf", key: "denyinterfaces", separator: " ",
		line: "denyinterfaces %s", restart: "dhcpcd --rebind",
	},
	{
		program: "ConnMan", process: "connmand", config: "/etc/connman/main.conf", key: "NetworkInterfaceBlacklist=",
		separator: ",", beginning: true, line: "[General]\\nNetworkInterfaceBlacklist=%s",
		restart: "systemctl restart connman",
	},
}

func (d otherDaemon) find(devices []string) (m doctor.Manager, found bool) {
	pid := processNamed(d.process)
	if pid == 0 {
		return m, false
	}
	text, _ := regfile.ReadText(d.config)
	return d.manager(pid, devices, string(text))
}

// manager finds the devices that a configuration does not exclude.
func (d otherDaemon) manager(pid int, devices []string, config string) (m doctor.Manager, found bool) {
	m.Program, m.Only = d.program, []doctor.ChangeKind{doctor.ChangeAddress}
	for _, name := range devices {
		if !d.excludes(config, name) {
			m.Devices = append(m.Devices, name)
		}
	}
	excluded := strings.Join(m.Devices, d.separator)
	m.Evidence = []string{fmt.Sprintf("process %d is %s, and %s does not exclude %s", pid, d.process, d.config, excluded)}
	m.Leave = []string{fmt.Sprintf("printf '"+d.line+"\\n' >>%s", excluded, d.config), d.restart}
	return m, len(m.Devices) > 0
}

func (d otherDaemon) excludes(config, device string) bool {
	for line := range strings.Lines(config) {
		list, ok := strings.CutPrefix(strings.TrimSpace(line), d.key)
		if !ok {
			continue
		}
		for _, pattern := range strings.FieldsFunc(list, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' }) {
			isMatch, _ := filepath.Match(pattern, device)
			if isMatch || d.beginning && strings.HasPrefix(device, pattern) {
				return true
			}
		}
	}
	return false
}

// processNamed returns the id of a process in this network namespace, 0 if there is none.
func processNamed(name string) int {
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return 0
	}
	comms, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, path := range comms {
		text, err := os.ReadFile(path)
		if err != nil || strings.TrimSpace(string(text)) != name {
			continue
		}
		dir := filepath.Dir(path)
		if there, err := os.Readlink(dir + "/ns/net"); err == nil && there == here {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			return pid
		}
	}
	return 0
}
