package fastpath

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/nft"
)

const (
	// containersChain is for packets from any port.
	containersChain = "containers"
	// portChainPrefix begins the name of the chain for packets from one port.
	portChainPrefix = "port-"
	// jumpComment is that of the one rule of a port's chain.
	jumpComment = "from a container"

	// rulesVersion is a hash of the rules, as nft.Table has it.
	rulesVersion = "009acb06464f"
)

// remoteMACs is the table's set of MACs on other hosts.
var remoteMACs = kernel.Set{Family: kernel.FamilyNetdev, Name: "remote"}

func tableName(device string) string { return kernel.FirewallTable + "-" + device }

// portChainName contains the MAC. A port's name may have characters that nft cannot read, and
// another network's port may get the same name.
func portChainName(mac kernel.MAC) string { return fmt.Sprintf("%s%x", portChainPrefix, mac[:]) }

// portChainMAC returns the MAC in the name of a port's chain.
func portChainMAC(chain string) (m kernel.MAC, ok bool) {
	digits, ok := strings.CutPrefix(chain, portChainPrefix)
	if !ok || len(digits) != hex.EncodedLen(len(m)) {
		return m, false
	}
	_, err := hex.Decode(m[:], []byte(digits))
	return m, err == nil
}

// outboundTable is the table of the network of a VXLAN device, without ports.
//
// It redirects only what the bridge table accepts anyway: IPv4, and IPv6 other than ICMPv6. A
// packet for any other MAC goes on to the bridge. The device's index is in the rules and in the
// table's comment. A recreated device has another index, and rules with the old one would drop
// packets.
func outboundTable(device string, index int) nft.Table {
	forward := nft.ForwardTo(uint32(index))
	return nft.Table{
		Family:     kernel.FamilyNetdev,
		Name:       tableName(device),
		Version:    fmt.Sprintf("%s for device %d", rulesVersion, index),
		RestoredBy: "the agent",
		Sets:       []nft.Set{{Set: remoteMACs, Comment: "MACs on other hosts", Key: []nft.Field{nft.TypeEther}}},
		Chains: []nft.Chain{{Name: containersChain, Rules: []nft.Rule{
			{Comment: "IPv4 to another host", Steps: [][]nft.Expr{
				nft.EtherType(nft.EtherIPv4), nft.EtherDestinationIn(remoteMACs.Name), forward}},
			{Comment: "IPv6 to another host", Steps: [][]nft.Expr{
				nft.EtherType(nft.EtherIPv6), nft.NotICMPv6(), nft.EtherDestinationIn(remoteMACs.Name), forward}},
		}}},
	}
}

// portChain has the rules of one port.
func portChain(p kernel.FastPathPort) nft.Chain {
	const ingress = 0 // NF_NETDEV_INGRESS
	return nft.Chain{
		Name:  portChainName(p.MAC),
		Hook:  &nft.Hook{Type: "filter", Number: ingress, Device: p.Name},
		Rules: []nft.Rule{{Comment: jumpComment, Steps: [][]nft.Expr{nft.Jump(containersChain)}}},
	}
}

// Outbound implements Kernel.
func (ns Namespace) Outbound(device string, at Look) (have OutboundTable, err error) {
	conn, err := ns.Firewall()
	if err != nil {
		return have, err
	}
	comment, exists, err := conn.TableComment(outboundTable(device, 0))
	if have.Exists = exists; !exists || err != nil {
		return have, err
	}
	index, err := ns.Links.Index(device)
	if errors.Is(err, kernel.ErrNotFound) {
		return have, nil
	}
	if err != nil {
		return have, err
	}
	t := outboundTable(device, index)
	if comment != t.Comment() {
		return have, nil
	}
	have.Members, have.Intact, err = readTable(conn, t, at)
	if err != nil {
		return have, fmt.Errorf("read fast path of %s: %w", device, err)
	}
	return have, nil
}

// readTable returns what a table has, if its rules are intact. Its comment is that of this program's.
func readTable(conn *nft.Conn, t nft.Table, at Look) (have Members, intact bool, err error) {
	if have.Remote, err = readRemote(conn, t, at.Only); err != nil {
		return have, false, err
	}
	if at.SkipPorts {
		return have, true, nil
	}
	rules, err := conn.RuleComments(t)
	if err != nil {
		return have, false, err
	}
	complete, others := completePortChains(rules)
	if !slices.Equal(others, t.RuleComments()) {
		return Members{}, false, nil
	}
	hooks, err := conn.ChainHooks(t)
	if err != nil {
		return have, false, err
	}
	for _, h := range hooks {
		if mac, ok := portChainMAC(h.Chain); ok {
			p := kernel.FastPathPort{MAC: mac}
			if complete[h.Chain] {
				p.Name = h.Device
			}
			have.Ports = append(have.Ports, p)
		}
	}
	return have, true, nil
}

// readRemote returns the MACs on other hosts that the table has; of some, if they are given.
func readRemote(conn *nft.Conn, t nft.Table, only []kernel.MAC) (have []kernel.MAC, err error) {
	if only == nil {
		err = conn.EachElementKey(t, remoteMACs, func() { have = have[:0] },
			func(key []byte) { have = append(have, kernel.MAC(key)) })
		return have, err
	}
	for i, e := range remoteElements(only) {
		known, err := conn.HasElement(t, e)
		if err != nil {
			return nil, err
		}
		if known {
			have = append(have, only[i])
		}
	}
	return have, nil
}

// completePortChains returns which ports' chains have their one rule, and the rules that are of no
// port.
func completePortChains(rules []nft.RuleComment) (complete map[string]bool, others []nft.RuleComment) {
	complete = make(map[string]bool)
	for _, r := range rules {
		if _, isPort := portChainMAC(r.Chain); !isPort {
			others = append(others, r)
			continue
		}
		_, second := complete[r.Chain]
		complete[r.Chain] = !second && r.Comment == jumpComment
	}
	return complete, others
}

func (ns Namespace) loadTable(conn *nft.Conn, c LoadTable) error {
	index, err := ns.Links.Index(c.Device)
	if err != nil {
		return err
	}
	t := outboundTable(c.Device, index)
	tx := nft.NewTransaction()
	tx.DeleteTable(t)
	tx.AddTable(t)
	if err := addMembers(tx, t, c.Members); err != nil {
		return err
	}
	return commit(conn, tx)
}

// changeTable deletes first: a port's MAC may be another's now.
func changeTable(conn *nft.Conn, c ChangeTable) error {
	t := outboundTable(c.Device, 0)
	tx := nft.NewTransaction()
	for _, p := range c.Delete.Ports {
		tx.DeleteChain(t, portChainName(p.MAC))
	}
	err := errors.Join(
		tx.DeleteElements([]nft.Table{t}, remoteElements(c.Delete.Remote)),
		addMembers(tx, t, c.Add))
	if err != nil {
		return err
	}
	return commit(conn, tx)
}

// addMembers appends what adds remote MACs and ports.
func addMembers(tx *nft.Transaction, t nft.Table, m Members) error {
	for _, p := range m.Ports {
		tx.AddChains(t, portChain(p))
	}
	return tx.AddElements([]nft.Table{t}, remoteElements(m.Remote))
}

func remoteElements(macs []kernel.MAC) (elements []kernel.Element) {
	for _, m := range macs {
		elements = append(elements, kernel.Element{Set: remoteMACs, Key: kernel.Ethernet(m)})
	}
	return elements
}

// evictFromTable looks first, since the kernel refuses to delete what does not exist.
func evictFromTable(conn *nft.Conn, c EvictFromTable) error {
	t := outboundTable(c.Device, 0)
	tx := nft.NewTransaction()
	elements := remoteElements([]kernel.MAC{c.MAC})
	known, err := conn.HasElement(t, elements[0])
	if err == nil && known {
		err = tx.DeleteElements([]nft.Table{t}, elements)
	}
	if err != nil {
		return err
	}
	chain := portChainName(c.MAC)
	known, err = conn.HasChain(t, chain)
	if err != nil {
		return err
	}
	if known {
		tx.DeleteChain(t, chain)
	}
	if err := commit(conn, tx); !errors.Is(err, kernel.ErrNotFound) {
		return err
	}
	return nil // somebody else deleted it meanwhile
}

func deleteTable(conn *nft.Conn, c DeleteTable) error {
	tx := nft.NewTransaction()
	tx.DeleteTable(outboundTable(c.Device, 0))
	return commit(conn, tx)
}

// commit tells a kernel that lacks a feature from a device that has gone. Both are ENOENT, but
// adding a rule names no device.
func commit(conn *nft.Conn, tx *nft.Transaction) error {
	refused, err := conn.Commit(tx)
	switch missing := errors.Is(err, unix.ENOENT); {
	case err == nil:
		return nil
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EAFNOSUPPORT), missing &&
		strings.HasPrefix(refused, "add rule"):
		err = fmt.Errorf("%w (%w)", kernel.ErrNoFastPath, err)
	case missing:
		err = fmt.Errorf("%w (%w)", kernel.ErrNotFound, err)
	}
	return fmt.Errorf("%s: %w", refused, err)
}
