package network

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"vxlan-driver/internal/kernel"
)

const (
	bridgePrefix    = "br-vxlan-"
	devicePrefix    = "vxlan-"
	wireGuardPrefix = "wg"
	// Short names differ from the documented ones in their sixth and third byte, so no network's
	// name can make the two collide.
	shortBridgePrefix = "br-vx-"
	shortDevicePrefix = "vx-"

	// maxAltNameLen is ALTIFNAMSIZ of linux/if.h less the terminating zero.
	maxAltNameLen = 127
	// maxAliasLen leaves room for the terminating zero, which a netlink attribute has:
	// dev_set_alias in net/core/dev.c counts it, and refuses IFALIASZ (256) bytes.
	maxAliasLen = 254
)

// isPodmanName tells whether Podman allows s as the name of a network or container:
// ^[a-zA-Z0-9][a-zA-Z0-9_.-]*$. Names and ids become parts of paths and device names, so nothing
// else is accepted. Package regexp would make the plugin 260 kB larger.
func isPodmanName(s string) bool {
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

// CheckName refuses what Podman does not take for a network's name.
func CheckName(name string) error {
	if !isPodmanName(name) {
		return fmt.Errorf("network name %q: %s", name, podmanNameRule)
	}
	return nil
}

const podmanNameRule = `must have letters, digits, "_", "." and "-" only`

// Identity is a network's id and the names of its devices. It is all that is needed to remove them.
type Identity struct {
	ID     string
	Name   string
	Bridge DeviceName
	Device DeviceName // the VXLAN device
	// WireGuard are the devices of an encrypted network. Which one is meant follows from the key's
	// generation, even or odd: while keys change, there are both.
	WireGuard [2]DeviceName

	// Interface is the bridge's name as the user gave it, which may be too long for a device's
	// name; "": the driver's choice.
	Interface string
}

// DeviceName is what a network device is called.
type DeviceName struct {
	Name string   // at most kernel.MaxNameLen bytes
	Alts []string // alternative names: the documented name where it is not Name
}

// Alias marks a device as the network's, so that one of the same name that another program made is
// left alone. The id comes first, since the kernel cuts off what is too long.
func (id Identity) Alias() string {
	alias := fmt.Sprintf("%s%s %s", aliasPrefix, id.ID, id.Name)
	return alias[:min(len(alias), maxAliasLen)]
}

const aliasPrefix = "vxlan-driver network "

// IDFromAlias returns the id of the network that an Alias is of, or "".
func IDFromAlias(alias string) string {
	rest, ok := strings.CutPrefix(alias, aliasPrefix)
	id, _, _ := strings.Cut(rest, " ")
	if !ok {
		return ""
	}
	return id
}

// ParseEndpointAlias returns the ids of the container and the network that an EndpointAlias is of,
// or "".
func ParseEndpointAlias(alias string) (containerID, networkID string) {
	rest, ok := strings.CutPrefix(alias, endpointAliasPrefix)
	containerID, rest, _ = strings.Cut(rest, " ")
	rest, isNetwork := strings.CutPrefix(rest, "network ")
	networkID, _, _ = strings.Cut(rest, " ")
	if !ok || !isNetwork {
		return "", ""
	}
	return containerID, networkID
}

// EndpointAlias marks the host's end of a container's veth. Users may choose its name, and one
// container must not take over another's.
func (id Identity) EndpointAlias(e Endpoint) string {
	alias := fmt.Sprintf("%s%s network %s %s", endpointAliasPrefix, e.ContainerID, id.ID, id.Name)
	return alias[:min(len(alias), maxAliasLen)]
}

const endpointAliasPrefix = "vxlan-driver container "

// ContainerOf returns the container's id from an EndpointAlias of the network, or else "".
func (id Identity) ContainerOf(alias string) string {
	rest, _ := strings.CutPrefix(alias, endpointAliasPrefix)
	containerID, _, _ := strings.Cut(rest, " ")
	if alias != id.EndpointAlias(Endpoint{ContainerID: containerID}) {
		return ""
	}
	return containerID
}

// PortName returns the driver's name for the host's end of a container's veth.
func (id Identity) PortName(containerID string) string {
	return "veth" + shortHash(id.ID+"/"+containerID, kernel.MaxNameLen-len("veth"))
}

// Port returns the name of the host's end of an endpoint's veth: the user's choice, or PortName.
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
		WireGuard: [2]DeviceName{wireGuardName(id, name, 0), wireGuardName(id, name, 1)},
		Interface: bridge,
	}
}

// wireGuardName differs in its fourth byte where it is short, so that no network's name collides.
func wireGuardName(id, name string, i int) DeviceName {
	prefix := wireGuardPrefix + strconv.Itoa(i)
	documented := prefix + "-" + name
	return newDeviceName(documented, documented, prefix+"_"+shortHash(id, 8))
}

// newDeviceName takes wanted as the device's name, or short where wanted is too long. Both wanted
// and documented find the device.
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

// deviceNameProblem says what is wrong with s as a device's name, or "". The rules are those of
// dev_valid_name in net/core/dev.c.
func deviceNameProblem(s string, maxLen int) string {
	switch {
	case len(s) > maxLen:
		return fmt.Sprintf("must have at most %d bytes", maxLen)
	case s == "." || s == "..":
		return `must not be "." or ".."`
	case s == "all" || s == "default":
		return `must not be "all" or "default": kernel parameters of that name are those of all interfaces`
	case strings.ContainsAny(s, "/: \t\n\v\f\r%"):
		return `must not have "/", ":", "%" or a space`
	}
	return ""
}

// CheckContainerID refuses ids that Podman does not make, since ids become parts of paths.
func CheckContainerID(id string) error {
	if !isPodmanName(id) {
		return Problem{What: "container id", Value: id, Want: podmanNameRule}
	}
	return nil
}

// ParseIdentity parses a network's identity only, so that a network that has become invalid can
// still be taken down.
func ParseIdentity(data []byte) (Identity, error) {
	c, err := decodeConfig(data)
	if err != nil {
		return Identity{}, err
	}
	var problems Problems
	id := c.parseIdentity(&problems)
	return id, problems.Err()
}

func (c config) parseIdentity(problems *Problems) Identity {
	if !isPodmanName(c.ID) {
		problems.Add("network id", c.ID, podmanNameRule)
	}
	if !isPodmanName(c.Name) {
		problems.Add("network name", c.Name, podmanNameRule)
	}
	if wrong := deviceNameProblem(c.NetworkInterface, maxAltNameLen); wrong != "" {
		problems.Add("--interface-name", c.NetworkInterface, "%s", wrong)
	}
	id := newIdentity(c.ID, c.Name, c.NetworkInterface)
	for _, name := range id.Bridge.allNames() {
		if slices.Contains(id.Device.allNames(), name) {
			problems.Add("--interface-name", c.NetworkInterface, "is what the network's VXLAN device is called; choose another")
		}
	}
	return id
}

func (d DeviceName) allNames() []string { return append([]string{d.Name}, d.Alts...) }
