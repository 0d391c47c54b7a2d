package network

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"vxlan-driver/internal/installed"
	"vxlan-driver/internal/kernel"
)

const (
	// DefaultPort is the IANA port of VXLAN (RFC 7348, section 5).
	DefaultPort = 4789
	// DefaultMetric is the metric of default routes that netavark uses too.
	DefaultMetric = 100
	// DefaultUnderlayTimeout is in seconds. Podman runs nothing else on networks meanwhile.
	DefaultUnderlayTimeout = 5

	maxVNI = 1<<24 - 1
	// autoValue in place of a value leaves the choice to the host.
	autoValue = "auto"
)

// option is one `--opt name=value` of `podman network create`.
type option struct {
	name    string
	accepts string // completes "must be …"
	// set parses value into n, and tells whether value is valid.
	set func(n *Network, value string) bool
	// explain says what is wrong with a value that set refuses, where accepts does not say enough;
	// nil: it does.
	explain func(value string) string
	// get formats n's value such that set parses it to the same; "" if it is unset.
	get func(n Network) string
}

// options has every option, in the order of optionDocs.
var options = slices.Concat(networkOptions, tunnelOptions)

// requiredOptions have no default. remote_ips is not among them, since multicast_group can replace
// it.
var requiredOptions = []string{"vni", "local_ip", "physical_interface"}

// setOptions parses the options into n, starting from the defaults.
func setOptions(n *Network, typed map[string]string, problems *Problems) {
	n.Tunnel.Port = DefaultPort
	n.Metric = DefaultMetric
	n.UnderlayTimeout = DefaultUnderlayTimeout
	known := make(map[string]bool)
	var names []string
	for _, o := range options {
		known[o.name] = true
		names = append(names, o.name)
		value, ok := typed[o.name]
		if ok && !o.set(n, strings.TrimSpace(value)) {
			problems.Add("option "+o.name, value, "%s", o.problemWith(strings.TrimSpace(value)))
		}
	}
	for _, name := range requiredOptions {
		if _, ok := typed[name]; !ok {
			problems.Add("option "+name, "", "is required: --opt %s=VALUE", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(typed)) {
		if known[name] {
			continue
		}
		if hint, ok := foreignOptions[strings.ToLower(name)]; ok {
			problems.Add("option", name, "is unknown; %s", hint)
		} else if near := nearestName(name, names); near != "" {
			problems.Add("option", name, "is unknown; did you mean %q?", near)
		} else {
			problems.Add("option", name, "is unknown; the options are %s", strings.Join(names, ", "))
		}
	}
}

func (o option) problemWith(value string) string {
	if o.explain != nil {
		return o.explain(value)
	}
	return "must be " + o.accepts
}

// foreignOptions are those of other drivers, and of earlier versions of this one, with what is
// meant here.
var foreignOptions = map[string]string{
	"encrypted":                     `did you mean "encryption=wireguard"? See ` + installed.Page("security.md"),
	"com.docker.network.driver.mtu": `did you mean "mtu"?`,
	"com.docker.network.driver.overlay.vxlanid_list": `did you mean "vni"?`,
	"id":                             `did you mean "vni"?`,
	"vxlan_id":                       `did you mean "vni"?`,
	"parent":                         `did you mean "physical_interface"?`,
	"dev":                            `did you mean "physical_interface"?`,
	"group":                          `did you mean "multicast_group"?`,
	"port":                           `did you mean "vxlan_port"?`,
	"dstport":                        `did you mean "vxlan_port"?`,
	"shortcut":                       `it is called "fast_path" now`,
	"vlan":                           "VLANs are no part of a VXLAN network; use one network for each",
	"mode":                           "this driver has no modes",
	"com.docker.network.bridge.name": "use --interface-name",
	"bridge_name":                    "use --interface-name",
}

// Options formats the network's options such that they parse to the same network.
func (n Network) Options() map[string]string {
	m := make(map[string]string)
	for _, o := range options {
		if v := o.get(n); v != "" {
			m[o.name] = v
		}
	}
	return m
}

const boolAccepts = "true or false"

// numberOption is a decimal number from low to high.
func numberOption[T uint16 | uint32](name string, low, high uint64, field func(*Network) *T) option {
	return option{
		name:    name,
		accepts: fmt.Sprintf("a whole number from %d to %d", low, high),
		set: func(n *Network, value string) (ok bool) {
			*field(n), ok = parseNumber[T](value, low, high)
			return ok
		},
		get: func(n Network) string { return strconv.FormatUint(uint64(*field(&n)), 10) },
	}
}

// boolOption is a boolean that is false unless it is given.
func boolOption(name string, field func(*Network) *bool) option {
	return option{
		name:    name,
		accepts: boolAccepts,
		set: func(n *Network, value string) (ok bool) {
			*field(n), ok = parseBool(value)
			return ok
		},
		get: func(n Network) string { return strconv.FormatBool(*field(&n)) },
	}
}

// kernelBoolOption is a boolean that is left to the kernel unless it is given.
func kernelBoolOption(name string, field func(*Network) *kernel.Opt[bool]) option {
	return kernelOption(name, boolAccepts, parseBool, strconv.FormatBool, field)
}

// kernelOption is left to the kernel unless it is given.
func kernelOption[T comparable](name, accepts string, parse func(string) (T, bool), print func(T) string,
	field func(*Network) *kernel.Opt[T],
) option {
	return option{
		name:    name,
		accepts: accepts,
		set: func(n *Network, value string) bool {
			v, ok := parse(value)
			*field(n) = kernel.Some(v)
			return ok
		},
		get: func(n Network) string {
			if o := *field(&n); o.Set {
				return print(o.Value)
			}
			return ""
		},
	}
}

func parseNumber[T uint8 | uint16 | uint32](value string, low, high uint64) (T, bool) {
	v, err := strconv.ParseUint(value, 10, 64)
	return T(v), err == nil && low <= v && v <= high
}

// parseBool takes what strconv.ParseBool takes, as Podman's own options do, and what systemd's
// take.
func parseBool(value string) (v, ok bool) {
	switch strings.ToLower(value) {
	case "yes", "on":
		return true, true
	case "no", "off":
		return false, true
	}
	v, err := strconv.ParseBool(value)
	return v, err == nil
}

// nearestName returns the name that differs least from s, or "" if none is near enough to be a
// mistyped s. Case, and "-" for "_", make no difference.
func nearestName(s string, names []string) string {
	s = strings.ReplaceAll(strings.ToLower(s), "-", "_")
	best, bestDistance := "", 1+len(s)/3
	for _, name := range names {
		if d := editDistance(s, name); d <= bestDistance && (best == "" || d < bestDistance) {
			best, bestDistance = name, d
		}
	}
	return best
}

// editDistance counts the single-byte insertions, deletions and substitutions that lead from a to b
// (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
