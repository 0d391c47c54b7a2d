package network

// Isolation says which other networks' containers a network's may talk to
// through this host. It does not concern the way out, nor containers of the same
// network.
type Isolation int

// The values, as those of netavark's bridge driver.
const (
	IsolateOff    Isolation = iota // to any network that is not strict
	IsolateOn                      // to networks that are not isolated
	IsolateStrict                  // to none
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
