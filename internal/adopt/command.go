package adopt

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Own is what is this host's alone.
type Own struct {
	Addrs []netip.Addr // of its interfaces
	// Options and IPRanges are what the user gives for this host. An empty value takes an option away.
	Options  map[string]string
	IPRanges []string
}

// hostOptions are options whose values are a host's own. Those with a value get it on each host.
var hostOptions = map[string]string{
	"local_ip": "auto", "physical_interface": "auto", "remote_ips": "",
	"host_listed": "", "outbound_addr4": "", "outbound_addr6": "",
}

// notTaken are those whose value another host chose, and cannot choose for this one.
var notTaken = []string{"outbound_addr4", "outbound_addr6"}

// Command returns the arguments of podman that create the network on this host. Notes say what this
// host does not take over.
func (d Definition) Command(own Own) (args, notes []string, err error) {
	remotes, err := d.remotesFor(own)
	if err != nil {
		return nil, nil, err
	}
	if d.isMulticast() && len(own.IPRanges) == 0 && !d.NoAddress {
		return nil, nil, fmt.Errorf(
			"network %s: with multicast_group each host has a range of its own; give this host's with --ip-range", d.Name)
	}
	args = append([]string{"network", "create", "--driver", driver}, optionArgs(d.optionsFor(own, remotes))...)
	for _, option := range notTaken {
		if value := d.Options[option]; value != "" && own.Options[option] == "" {
			notes = append(notes,
				fmt.Sprintf("%s=%s is %s's own; give this host's with --opt %[1]s=ADDRESS if it needs one", option, value, d.Host))
		}
	}
	return append(args, d.flags(own)...), notes, nil
}

// EtcdCommand is Command for a network that is defined in etcd, where its name is enough.
func (d Definition) EtcdCommand(own Own) []string {
	options := maps.Clone(own.Options)
	maps.DeleteFunc(options, func(_, value string) bool { return value == "" })
	if options == nil {
		options = make(map[string]string)
	}
	options["discovery"] = "etcd"
	args := append([]string{"network", "create", "--driver", driver}, optionArgs(options)...)
	named := Definition{Name: d.Name}
	if len(own.IPRanges) > 0 {
		named.Subnets = d.Subnets // without which Podman takes no range
	}
	return append(args, named.flags(own)...)
}

// remotesFor returns the hosts that this one is to know. Where there is a list, it must have this
// host already: the others drop its packets otherwise, and a longer list may move all addresses.
func (d Definition) remotesFor(own Own) ([]netip.Addr, error) {
	if d.isMulticast() || d.IsEtcd() {
		return nil, nil
	}
	listed := d.Listed()
	isOwn := func(a netip.Addr) bool { return slices.Contains(own.Addrs, a) }
	switch {
	case len(listed) == 0:
		return nil, fmt.Errorf("network %s: %s names no host to reach it by; give --opt remote_ips=ADDRESS", d.Name, d.Host)
	case d.IsGossip():
		return slices.DeleteFunc(listed, isOwn), nil
	case own.Options["remote_ips"] != "" || slices.ContainsFunc(listed, isOwn):
		return listed, nil
	}
	return nil, fmt.Errorf("network %s: its hosts have a list, remote_ips=%s, and this host is not on it; "+
		"first give all of them the longer list, as the page on hosts says under \"add a host\"", d.Name, joinAddrs(listed))
}

// optionsFor returns the options of the network on this host.
func (d Definition) optionsFor(own Own, remotes []netip.Addr) map[string]string {
	options := make(map[string]string)
	for name, value := range d.Options {
		if _, isHosts := hostOptions[name]; !isHosts {
			options[name] = value
		}
	}
	for name, value := range hostOptions {
		if value != "" {
			options[name] = value
		}
	}
	if len(remotes) > 0 {
		options["remote_ips"] = joinAddrs(remotes)
	}
	maps.Copy(options, own.Options)
	maps.DeleteFunc(options, func(_, value string) bool { return value == "" })
	return options
}

// Check refuses options that cannot be a host's own: with another value it would be on another network.
func (o Own) Check() error {
	for _, name := range slices.Sorted(maps.Keys(o.Options)) {
		isShared := slices.Contains(comparedOtherwise, name) && name != "encryption_port"
		if isShared || optionKinds[name].splits {
			return fmt.Errorf("option %s must be the same on all hosts, so this host cannot have one of its own", name)
		}
	}
	return nil
}

// OwnOptions are the options whose values are the host's own.
func (d Definition) OwnOptions() map[string]string {
	own := maps.Clone(d.Options)
	maps.DeleteFunc(own, func(name, _ string) bool { _, isOwn := hostOptions[name]; return !isOwn })
	return own
}

// firstOptions come first, as the documentation has them.
var firstOptions = []string{"discovery", "vni", "local_ip", "remote_ips", "physical_interface"}

func optionArgs(options map[string]string) (args []string) {
	rank := func(name string) int {
		if i := slices.Index(firstOptions, name); i >= 0 {
			return i
		}
		return len(firstOptions)
	}
	names := slices.SortedFunc(maps.Keys(options), func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		args = append(args, "--opt", name+"="+options[name])
	}
	return args
}

// flags returns all but the options, and the name.
func (d Definition) flags(own Own) (args []string) {
	for _, s := range d.Subnets {
		args = append(args, "--subnet", s.Prefix)
		if s.Gateway != "" {
			args = append(args, "--gateway", s.Gateway)
		}
	}
	for _, r := range own.IPRanges {
		args = append(args, "--ip-range", r)
	}
	for _, r := range d.Routes {
		args = append(args, "--route", r.String())
	}
	for _, s := range d.DNSServers {
		args = append(args, "--dns", s)
	}
	for _, f := range []struct {
		given bool
		args  []string
	}{
		{d.Internal, []string{"--internal"}},
		{d.NoNames && !d.NoAddress, []string{"--disable-dns"}},
		{d.NoAddress, []string{"--ipam-driver", "none"}},
		{d.Bridge != "", []string{"--interface-name", d.Bridge}},
	} {
		if f.given {
			args = append(args, f.args...)
		}
	}
	return append(args, d.Name)
}

// String prints the route as podman takes it.
func (r Route) String() string {
	parts := []string{r.Destination}
	if r.Type != "" && r.Type != "unicast" {
		parts = append(parts, r.Type)
	} else {
		parts = append(parts, r.Gateway)
	}
	if r.Metric != nil {
		parts = append(parts, strconv.FormatUint(uint64(*r.Metric), 10))
	}
	return strings.Join(parts, ",")
}

func joinAddrs(addrs []netip.Addr) string {
	var all []string
	for _, a := range addrs {
		all = append(all, a.String())
	}
	return strings.Join(all, ",")
}

// Quote prints a command as a person types it in a shell.
func Quote(program string, args []string) string {
	words := []string{program}
	for _, a := range args {
		if a == "" || strings.ContainsFunc(a, needsQuotes) {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

func needsQuotes(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_./:,=@%+", r))
}
