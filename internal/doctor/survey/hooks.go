package survey

import (
	"fmt"
	"slices"
	"strings"

	"vxlan-driver/internal/doctor"
)

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
	queues, err := c.run("tc", "qdisc", "show", "dev", device)
	if err != nil {
		return nil, err
	}
	for _, side := range []string{"ingress", "egress"} {
		text, err := c.run("tc", "filter", "show", "dev", device, side)
		if err != nil {
			return nil, err
		}
		hook, found := FilterHook(device, side, text, c.ownPorts(device))
		if detach := detachBlock(device, text, queues); detach != "" {
			hook.What, hook.Remove = "block of tc filters", detach // tc shows it at both sides
		}
		if found && !slices.Contains(hooks, hook) {
			hooks = append(hooks, hook)
		}
	}
	if text, err := c.run("tc", "filter", "show", "dev", device); err == nil { // those of the queue itself
		if hook, found := QueueFilter(device, text); found {
			hooks = append(hooks, hook)
		}
	}
	if hook, found := SlowQueue(device, queues); found {
		hooks = append(hooks, hook)
	}
	text, err := c.run("ip", "-d", "link", "show", "dev", device)
	if err == nil && strings.Contains(text, "prog/xdp") {
		hooks = append(hooks, XDPHook(device, text))
	}
	return hooks, nil
}

// dropTags are the kernel's hashes of programs that drop all: r0 = XDP_ABORTED or XDP_DROP and exit, as
// older and newer compilers write it.
var dropTags = []string{"59f4a931744dcdc6", "691ef55febf78432", "b11459a0e11ca14c", "b30cf65b7e0fa9c7"}

// XDPHook makes a hook of what ip prints of a device that has an XDP program. It is taken off in the
// mode in which it was attached: without a mode ip takes off that of the driver alone.
func XDPHook(device, text string) doctor.DeviceHook {
	program, mode := lineWith(text, "prog/xdp"), "xdp"
	for _, m := range []string{"xdpgeneric", "xdpoffload"} {
		if strings.Contains(text, " "+m+" ") {
			mode = m
		}
	}
	return doctor.DeviceHook{
		Device: device, What: "XDP program", Drops: slices.Contains(dropTags, wordAfter(program, "tag")), Text: program,
		Remove: fmt.Sprintf("ip link set dev %s %s off", device, mode),
	}
}

// lineWith returns the first line that has the part; "": there is none.
func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// ownPorts are the devices to which the driver's own filters on a device redirect; nil: it has none.
func (c *collector) ownPorts(name string) []string {
	for _, n := range c.Networks {
		if n.Device.Name != name {
			continue
		}
		ports := []string{}
		for _, e := range n.Endpoints {
			ports = append(ports, n.Port(e.Endpoint))
		}
		return ports
	}
	return nil
}

// FilterHook makes a hook of what tc prints of a device's filters, if there are any of other
// programs'. On a device of the driver's own, those that redirect to its ports are its own.
func FilterHook(device, side, text string, ownPorts []string) (doctor.DeviceHook, bool) {
	isOwn := ownPorts != nil
	steals := redirectsElsewhere(text, ownPorts)
	drops := strings.Contains(text, "action drop") || steals
	if strings.TrimSpace(text) == "" || isOwn && !drops {
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

// detachBlock is the command that takes a block of filters, which devices may share, off a device; "": the
// filters, or the queueing discipline that has them, are the device's own.
func detachBlock(device, filters, queues string) string {
	line := lineWith(queues, "gress_block ")
	if !strings.HasPrefix(filters, "filter block ") || line == "" {
		return ""
	}
	return fmt.Sprintf("tc qdisc delete dev %s %s", device, wordAfter(line, "qdisc"))
}

// QueueFilter makes a hook of what tc prints of the filters by which a device's queueing discipline chooses
// a class, if one drops or leads packets to another device.
func QueueFilter(device, text string) (doctor.DeviceHook, bool) {
	hook, found := FilterHook(device, "the queue", text, nil)
	drops := strings.Contains(text, "action drop") || redirectsElsewhere(text, nil)
	parent := wordAfter(text, "parent")
	hook.Remove = fmt.Sprintf("tc filter delete dev %s parent %s", device, parent)
	return hook, found && drops && parent != ""
}

// redirectsElsewhere tells whether a filter leads packets to another device than the ports.
func redirectsElsewhere(text string, ports []string) bool {
	rest := text
	for {
		_, after, found := strings.Cut(rest, "Redirect to device ")
		if !found {
			return false
		}
		name, _, _ := strings.Cut(after, ")")
		if !slices.Contains(ports, name) {
			return true
		}
		rest = after
	}
}

// wordAfter returns the word behind a word of a line.
func wordAfter(line, word string) string {
	fields := strings.Fields(line)
	if i := slices.Index(fields, word); i >= 0 && i+1 < len(fields) {
		return fields[i+1]
	}
	return ""
}

// dropsTunnel tells whether a filter that drops surely matches VXLAN packets or all packets: it has
// no condition, or that of UDP alone, or of the port.
func dropsTunnel(text string) bool {
	const isUDP, isAny = "match 00110000/00ff0000 at 8", "match 00000000/00000000 at 0" // as tc prints u32
	for _, condition := range []string{"matchall", "12b5", "dst_port 4789", isUDP, isAny} {
		if strings.Contains(text, condition) {
			return true
		}
	}
	return !strings.Contains(text, "match ") && !strings.Contains(text, "bpf")
}
