package nft

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// filterFamilies are those whose chains see the packets that a host routes, receives and sends, or
// the frames that its bridges forward.
var filterFamilies = []kernel.Family{
	kernel.FamilyIP, kernel.FamilyIP6, kernel.FamilyInet, kernel.FamilyBridge, kernel.FamilyNetdev, kernel.FamilyARP,
}

// hooksByNumber are the hooks of packets and frames (enum nf_inet_hooks), those of devices (enum
// nf_dev_hooks) and those of ARP (linux/netfilter_arp.h). In the family inet, ingress comes after
// the others.
var (
	hooksByNumber = []kernel.FilterHook{kernel.HookPrerouting, kernel.HookInput, kernel.HookForward, kernel.HookOutput,
		kernel.HookPostrouting, kernel.HookIngress}
	deviceHooks = []kernel.FilterHook{kernel.HookIngress, kernel.HookEgress}
	arpHooks    = []kernel.FilterHook{kernel.HookInput, kernel.HookOutput}
)

// ForeignFilters returns the tables of other programs that have a chain which may drop packets.
// Where there is none, this takes one request a family.
func (c *Conn) ForeignFilters() (all []kernel.FilterTable, err error) {
	for _, family := range filterFamilies {
		tables, err := c.filterTables(family)
		if err != nil {
			return nil, fmt.Errorf("read firewall rules of other programs: %w", err)
		}
		for _, t := range tables {
			if err := c.readFilterRules(t); err != nil {
				return nil, fmt.Errorf("read firewall table %s %s of another program: %w", t.Family, t.Name, err)
			}
			all = append(all, t)
		}
	}
	return all, nil
}

// FilteredDevices returns the devices on which other programs filter what comes in or goes out, and the
// table that has the chain. A name may end in a star, as kernel.IsDevice has it.
func (c *Conn) FilteredDevices() (map[string]string, error) {
	devices := make(map[string]string)
	for _, family := range []kernel.Family{kernel.FamilyNetdev, kernel.FamilyInet} {
		tables, err := c.filterTables(family)
		if err != nil {
			return nil, fmt.Errorf("read chains of devices: %w", err)
		}
		for _, t := range tables {
			for _, chain := range t.Chains {
				if chain.Hook != kernel.HookIngress && chain.Hook != kernel.HookEgress {
					continue
				}
				for _, device := range chain.Devices {
					devices[device] = fmt.Sprint(t.Family, " ", t.Name)
				}
			}
		}
	}
	return devices, nil
}

// filterTables returns the tables of a family that have a filtering chain, without their rules.
func (c *Conn) filterTables(family kernel.Family) ([]kernel.FilterTable, error) {
	answers, err := c.execute(newRequest(unix.NFT_MSG_GETCHAIN, unix.NLM_F_DUMP, family))
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var tables []kernel.FilterTable
	for _, a := range answers {
		name := netlink.Text(netlink.Find(a, unix.NFTA_CHAIN_TABLE))
		if strings.HasPrefix(name, kernel.FirewallTable) {
			continue
		}
		i := slices.IndexFunc(tables, func(t kernel.FilterTable) bool { return t.Name == name })
		if i < 0 {
			i = len(tables)
			tables = append(tables, kernel.FilterTable{
				Family: family, Name: name,
				Chains: make(map[string]kernel.FilterChain), Sets: make(map[string]kernel.FilterSet),
			})
		}
		tables[i].Chains[netlink.Text(netlink.Find(a, unix.NFTA_CHAIN_NAME))] = parseFilterChain(a, family)
	}
	return slices.DeleteFunc(tables, func(t kernel.FilterTable) bool { return !filters(t) }), nil
}

func filters(t kernel.FilterTable) bool {
	for _, c := range t.Chains {
		if c.Hook != kernel.HookNone {
			return true
		}
	}
	return false
}

// parseFilterChain reads a chain. One that translates addresses counts as having no hook.
func parseFilterChain(b []byte, family kernel.Family) (c kernel.FilterChain) {
	// One of the type route is a filter at the hook output that routes anew what it has marked.
	if kind := netlink.Text(netlink.Find(b, unix.NFTA_CHAIN_TYPE)); kind != "filter" && kind != "route" {
		return c
	}
	hooks := hooksByNumber
	switch family {
	case kernel.FamilyNetdev:
		hooks = deviceHooks
	case kernel.FamilyARP:
		hooks = arpHooks
	}
	number := netlink.Uint32BE(netlink.Find(b, unix.NFTA_CHAIN_HOOK, unix.NFTA_HOOK_HOOKNUM))
	if number < uint32(len(hooks)) {
		c.Hook = hooks[number]
		c.Devices = hookedDevices(netlink.Find(b, unix.NFTA_CHAIN_HOOK))
		policy := netlink.Find(b, unix.NFTA_CHAIN_POLICY)
		c.PolicyDrop = policy != nil && netlink.Uint32BE(policy) == 0 // NF_DROP
	}
	return c
}

// hookedDevices returns the devices of a hook, which has one or a list.
func hookedDevices(hook []byte) (names []string) {
	for kind, value := range netlink.Attrs(hook) {
		switch kind {
		case unix.NFTA_HOOK_DEV:
			names = append(names, netlink.Text(value))
		case nftaHookDevs:
			for kind, name := range netlink.Attrs(value) {
				text := netlink.Text(name)
				if kind == nftaDevicePrefix {
					text += "*"
				}
				if !slices.Contains(names, text) {
					names = append(names, text)
				}
			}
		}
	}
	return names
}

// Of linux/netfilter/nf_tables.h, which package unix lacks.
const (
	nftaHookDevs     = 4 // Linux 5.5
	nftaDevicePrefix = 2 // within these, how the names of devices begin; Linux 6.18
)

func (c *Conn) readFilterRules(t kernel.FilterTable) error {
	m := newRequest(unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP, t.Family)
	m.Text(unix.NFTA_RULE_TABLE, t.Name)
	answers, err := c.execute(m)
	if err != nil && !isMissing(err) {
		return err
	}
	for _, a := range answers {
		name := netlink.Text(netlink.Find(a, unix.NFTA_RULE_CHAIN))
		rule := parseFilterRule(netlink.Find(a, unix.NFTA_RULE_EXPRESSIONS))
		chain := t.Chains[name]
		chain.Rules = append(chain.Rules, rule)
		t.Chains[name] = chain
		for _, step := range rule {
			if err := c.readFilterSet(t, step); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxSetBytes bounds what is read of a set: about 2,000 elements. To list 100,000, as lists of
// blocked addresses have, takes the kernel 0.3 s.
const maxSetBytes = 128 << 10

// readFilterSet reads the set that a step looks something up in.
func (c *Conn) readFilterSet(t kernel.FilterTable, step kernel.FilterStep) error {
	if _, known := t.Sets[step.Name]; known || step.Op != kernel.StepLookup {
		return nil
	}
	// The rest of a long list stays in a socket, so it is one of its own.
	socket, err := netlink.Open(c.nspath, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer socket.Close()
	m := newRequest(unix.NFT_MSG_GETSETELEM, unix.NLM_F_DUMP, t.Family)
	m.Text(unix.NFTA_SET_ELEM_LIST_TABLE, t.Name)
	m.Text(unix.NFTA_SET_ELEM_LIST_SET, step.Name)
	answers, isMore, err := socket.ExecuteUpTo(m, maxSetBytes)
	switch {
	case err != nil && !isMissing(err):
		return fmt.Errorf("set %s: %w", step.Name, err)
	case isMore:
		t.Sets[step.Name] = kernel.FilterSet{Unread: true}
	default:
		t.Sets[step.Name] = newFilterSet(parseElements(withoutHeaders(answers)))
	}
	return nil
}

// newFilterSet joins what the kernel lists of a set. Of a range of one part those are the first key
// and the one after the last.
func newFilterSet(found []foundElement) (s kernel.FilterSet) {
	slices.SortStableFunc(found, func(a, b foundElement) int { return bytes.Compare(a.key, b.key) })
	hasRanges := slices.ContainsFunc(found, func(f foundElement) bool { return f.endsRange })
	for i, f := range found {
		verdict := kernel.FilterVerdict{Code: f.verdict, Chain: f.chain}
		switch {
		case f.isDefault:
			s.Default = &verdict
		case f.endsRange:
		default:
			e := kernel.FilterElement{First: f.key, Last: f.key, Verdict: verdict}
			if f.keyEnd != nil {
				e.Last, e.Parts = f.keyEnd, true
			} else if hasRanges {
				e.Last = lastBefore(found[i+1:], len(f.key))
			}
			s.Elements = append(s.Elements, e)
		}
	}
	return s
}

// lastBefore returns the last key before the first end of what follows, or the greatest key.
func lastBefore(following []foundElement, length int) []byte {
	for _, f := range following {
		if f.endsRange {
			return keyBefore(f.key, length)
		}
	}
	return keyBefore(nil, length)
}
