package network

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"vxlan-driver/internal/kernel"
)

const (
	bridgePrefix = "br-vxlan-"
	devicePrefix = "vxlan-"
	// Short names differ from the documented ones in their sixth and third
	// byte, so that no network's name can make the two collide.
	shortBridgePrefix = "br-vx-"
	shortDevicePrefix = "vx-"

	// maxAltNameLen is ALTIFNAMSIZ of linux/if.h less the terminating zero.
	maxAltNameLen = 127
	// maxAliasLen is IFALIASZ of linux/if.h less the terminating zero.
	maxAliasLen = 255
)

// isID tells whether Podman allows s as the name of a network or container,
// ^[a-zA-Z0-9][a-zA-Z0-9_.-]*$. Names and ids become part of paths and device names, so
// nothing else is let in. regexp would make the plugin larger by 260 kB.
func isID(s string) bool {
	if s == "" || strings.Contains("_.-", s[:1]) {
		return false
	}
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '.' || c == '-') {
			return false
		}
	}
	return true
}

const idWant = `must have letters, digits, "_", "." and "-" only`

// Identity says which network it is and what its devices are called. It is all
// that removing a network's devices takes.
type Identity struct {
	ID     string
	Name   string
	Bridge DeviceName
	Device DeviceName // the KindVXLAN device

	// Interface is the bridge's name as the user gave it, perhaps too long to
	// be more than an alternative name; "" if it was left to the driver.
	Interface string
}

// DeviceName is what a network device is called.
type DeviceName struct {
	Name string   // at most kernel.MaxNameLen bytes
	Alts []string // alternative names: the documented name where it is not Name
}

// Alias is the text that marks a device of the network, so that a device of the
// same name that something else made is not taken for it. The id comes first:
// what is too long for the kernel is cut off.
func (id Identity) Alias() string {
	alias := fmt.Sprintf("vxlan-driver network %s %s", id.ID, id.Name)
	return alias[:min(len(alias), maxAliasLen)]
}

// EndpointAlias is Alias for the host's end of a container's veth, whose name its
// user may choose: it must not be taken from another container of the network.
func (id Identity) EndpointAlias(e Endpoint) string {
	alias := fmt.Sprintf("%s%s network %s %s", endpointAliasPrefix, e.ContainerID, id.ID, id.Name)
	return alias[:min(len(alias), maxAliasLen)]
}

const endpointAliasPrefix = "vxlan-driver container "

// ContainerOf returns the id of the container of the network that an EndpointAlias is of, or "".
func (id Identity) ContainerOf(alias string) string {
	rest, _ := strings.CutPrefix(alias, endpointAliasPrefix)
	containerID, _, _ := strings.Cut(rest, " ")
	if alias != id.EndpointAlias(Endpoint{ContainerID: containerID}) {
		return ""
	}
	return containerID
}

// PortName returns the name of the host's end of the veth to a container.
func (id Identity) PortName(containerID string) string {
	return "veth" + shortHash(id.ID+"/"+containerID, kernel.MaxNameLen-len("veth"))
}

// Port returns the name of the host's end of the veth to an endpoint, which its
// user may have chosen.
func (id Identity) Port(e Endpoint) string {
	return cmp.Or(e.HostInterface, id.PortName(e.ContainerID))
}

// newIdentity names a network's devices. bridge is the name asked for, or "".
func newIdentity(id, name, bridge string) Identity {
	documented := bridgePrefix + name
	return Identity{
		ID:        id,
		Name:      name,
		Bridge:    newDeviceName(cmp.Or(bridge, documented), documented, shortBridgePrefix+shortHash(id, 8)),
		Device:    newDeviceName(devicePrefix+name, devicePrefix+name, shortDevicePrefix+shortHash(id, 8)),
		Interface: bridge,
	}
}

// newDeviceName prefers wanted as the device's name and falls back to short
// where wanted is too long; both wanted and documented find the device.
func newDeviceName(wanted, documented, short string) DeviceName {
	d := DeviceName{Name: wanted}
	if len(wanted) > kernel.MaxNameLen {
		d.Name = short
	}
	for _, alt := range []string{wanted, documented} {
		repeated := alt == d.Name || len(d.Alts) > 0 && alt == d.Alts[0]
		if !repeated && len(alt) <= maxAltNameLen {
			d.Alts = append(d.Alts, alt)
		}
	}
	return d
}

// shortHash returns the first n hexadecimal digits of a hash of s.
func shortHash(s string, n int) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:n]
}

// checkDeviceName tells what is wrong with s as a device's name, by the rules of
// dev_valid_name in net/core/dev.c.
func checkDeviceName(s string, maxLen int) string {
	switch {
	case len(s) > maxLen:
		return fmt.Sprintf("must have at most %d bytes", maxLen)
	case s == "." || s == "..":
		return `must not be "." or ".."`
	case strings.ContainsAny(s, "/: \t\n\v\f\r%"):
		return `must not have "/", ":", "%" or a space`
	}
	return ""
}
