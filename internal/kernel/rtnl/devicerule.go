package rtnl

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

const (
	// deviceRuleOrder is the priority of our rules. They come before those of administrators and VPNs,
	// since they match nothing but what is to leave by their device.
	deviceRuleOrder = 150
	// deviceTableBase is the number of a device's table, less its index: one that nobody types.
	deviceTableBase = 0x76780000
)

// lastMetric is worse than that of any other route.
const lastMetric = 1<<32 - 1

// Attributes of a rule (linux/fib_rules.h).
const (
	fraPriority = 6  // FRA_PRIORITY
	fraTable    = 15 // FRA_TABLE
	fraOIFName  = 17 // FRA_OIFNAME
	toTable     = 1  // FR_ACT_TO_TBL
	sizeofRule  = 12 // struct fib_rule_hdr
)

// RouteIPv6By lets IPv6 packets find a route by a device that the sender has chosen, whatever their
// destination. Such a device has no address, and so no route of the kernel's. For IPv4 the kernel takes
// the destination for a neighbour then. For IPv6 it takes another device that has a route, where the
// sender has named its address too (ip6_route_output_flags in net/ipv6/route.c).
//
// It is a rule with a table of its own, and no route in the main table: that one would lead packets here
// for which nobody has chosen the device.
//
// It tells whether the rule or a route was missing.
func (c *Conn) RouteIPv6By(device string) (added bool, err error) {
	index, err := c.indexOf(device)
	if err == nil {
		added, err = c.routeByDevice(device, index)
	}
	if err != nil {
		return false, fmt.Errorf("route IPv6 packets by %s: %w", device, err)
	}
	return added, nil
}

func (c *Conn) routeByDevice(device string, index uint32) (added bool, err error) {
	table := deviceTableBase + index
	// The table first: without a route in it the kernel goes on to the main table. The route of the device
	// goes when somebody takes that down, so another one is there that refuses packets.
	for _, route := range []struct {
		kind   uint8
		metric uint32
		attrs  []netlink.Attr
	}{
		{unix.RTN_UNREACHABLE, lastMetric, nil},
		{unix.RTN_UNICAST, 0, []netlink.Attr{netlink.Uint32Attr(unix.RTA_OIF, index)}},
	} {
		header := []byte{unix.AF_INET6, 0, 0, 0, unix.RT_TABLE_UNSPEC, unix.RTPROT_STATIC, unix.RT_SCOPE_UNIVERSE,
			route.kind, 0, 0, 0, 0}
		attrs := append(route.attrs, netlink.Uint32Attr(unix.RTA_TABLE, table),
			netlink.Uint32Attr(unix.RTA_PRIORITY, route.metric))
		err := c.linkReader.Change(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, header, attrs...)
		added = added || err == nil
		if err := ignoreExists(err); err != nil {
			return false, err
		}
	}
	rules, err := c.deviceRules()
	if err != nil {
		return false, err
	}
	there := false
	for _, r := range rules {
		if r.device == device && r.table == table {
			there = true
		} else if r.device == device { // of a device that had the name before
			err = errors.Join(err, c.delDeviceRule(r))
		}
	}
	if there {
		return added, err
	}
	const create = unix.NLM_F_CREATE | unix.NLM_F_EXCL
	return true, errors.Join(err, c.changeRule(unix.RTM_NEWRULE, create, deviceRule{device, table}))
}

// RemoveDeviceRule undoes RouteIPv6By.
func (c *Conn) RemoveDeviceRule(device string) error {
	return c.removeDeviceRules(func(r deviceRule) (bool, error) { return r.device == device, nil })
}

// RemoveStaleDeviceRules removes the rules of RouteIPv6By whose device is gone.
func (c *Conn) RemoveStaleDeviceRules() error {
	return c.removeDeviceRules(func(r deviceRule) (bool, error) {
		_, err := c.indexOf(r.device)
		if errors.Is(err, kernel.ErrNotFound) {
			return true, nil
		}
		return false, err
	})
}

func (c *Conn) removeDeviceRules(remove func(deviceRule) (bool, error)) error {
	rules, err := c.deviceRules()
	errs := []error{err}
	for _, r := range rules {
		ours, err := remove(r)
		if ours {
			err = c.delDeviceRule(r)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove rules of routing by device: %w", err)
	}
	return nil
}

// deviceRule is a rule by which what is to leave by a device finds its table.
type deviceRule struct {
	device string
	table  uint32
}

// deviceRules returns those that this program has made.
func (c *Conn) deviceRules() ([]deviceRule, error) {
	msgs, err := c.Dump(unix.RTM_GETRULE, append([]byte{unix.AF_INET6}, make([]byte, sizeofRule-1)...))
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil // there is no IPv6
	}
	var rules []deviceRule
	for _, msg := range msgs {
		if r, ok := parseDeviceRule(msg); ok {
			rules = append(rules, r)
		}
	}
	return rules, err
}

func parseDeviceRule(msg []byte) (r deviceRule, ours bool) {
	if len(msg) < sizeofRule {
		return r, false
	}
	attrs := msg[sizeofRule:]
	r = deviceRule{netlink.Text(netlink.Find(attrs, fraOIFName)), netlink.Uint32(netlink.Find(attrs, fraTable))}
	order := netlink.Uint32(netlink.Find(attrs, fraPriority))
	return r, order == deviceRuleOrder && r.device != "" && r.table > deviceTableBase
}

// delDeviceRule deletes a rule and the route that has stayed in its table.
func (c *Conn) delDeviceRule(r deviceRule) error {
	header := []byte{unix.AF_INET6, 0, 0, 0, unix.RT_TABLE_UNSPEC, 0, unix.RT_SCOPE_NOWHERE, 0, 0, 0, 0, 0}
	err := c.linkReader.Change(unix.RTM_DELROUTE, 0, header, netlink.Uint32Attr(unix.RTA_TABLE, r.table),
		netlink.Uint32Attr(unix.RTA_PRIORITY, lastMetric), netlink.Uint32Attr(unix.RTA_OIF, loopbackIndex))
	return errors.Join(ignoreGone(c.changeRule(unix.RTM_DELRULE, 0, r)), ignoreGone(err))
}

func (c *Conn) changeRule(typ, how uint16, r deviceRule) error {
	header := make([]byte, sizeofRule)
	header[0], header[7] = unix.AF_INET6, toTable
	return c.linkReader.Change(typ, how, header, netlink.Uint32Attr(fraPriority, deviceRuleOrder),
		netlink.Uint32Attr(fraTable, r.table), netlink.TextAttr(fraOIFName, r.device))
}
