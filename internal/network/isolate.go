package network

// Isolation says which other networks of this host the network's containers may reach. It does not
// affect what leaves the host.
type Isolation int

// The values are those of netavark's bridge driver.
const (
	IsolateOff    Isolation = iota // any network that is not strict
	IsolateOn                      // networks that are not isolated
	IsolateStrict                  // none
)

// String prints the value as the option takes it.
func (i Isolation) String() string {
	switch i {
	case IsolateOn:
		return "true"
	case IsolateStrict:
		return "strict"
	}
	return "false"
}

// Integration says in which other program's firewall the driver adds rules that let the network's
// packets pass.
type Integration string

// The values, besides "", which is none.
const (
	IntegrationNone   Integration = "none"
	IntegrationDocker Integration = "docker" // in the chain that Docker leaves to the administrator
)

func parseIsolation(value string) (Isolation, bool) {
	if value == "strict" {
		return IsolateStrict, true
	}
	on, ok := parseBool(value)
	if on {
		return IsolateOn, ok
	}
	return IsolateOff, ok
}

// setBridgeIsolation follows what a bridge gets that does not have the option: strict isolation
// from netavark 2 on. That netavark passes on when the network was created, and older ones do not.
// In a VRF no rule sees the bridge.
func (c config) setBridgeIsolation(n *Network) {
	if c.Created == nil {
		return
	}
	n.BridgeIsolation = IsolateStrict
	if _, given := c.Options["isolate"]; !given && n.VRF == "" {
		n.Isolate = IsolateStrict
	}
}
