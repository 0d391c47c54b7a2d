package bpfpath

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netlink"
)

// Of linux/xfrm.h, which package unix lacks.
const (
	xfrmMsgGetPolicy  = 0x15
	xfrmMsgGetDefault = 0x28
	xfrmDefaultBlock  = 1 // XFRM_USERPOLICY_BLOCK
	xfrmaTemplates    = 5
	xfrmPolicyAllow   = 0
	sizeofUserPolicy  = 168 // struct xfrm_userpolicy_info
	offsetPolicyDir   = 160
	offsetPolicyBlock = 161 // action
)

// Directions of a policy. Higher ones are of single sockets.
const (
	policyIn  = 0
	policyOut = 1
)

// ipsecPolicies are those of a namespace.
type ipsecPolicies struct {
	all    []policy
	blocks bool // what none is about
}

// concern tells whether IPsec is about packets from or to an address of the host: those that leave
// must be encrypted, or those that arrive must have been. A packet that a program passes on is not
// looked at by it.
func (p ipsecPolicies) concern(local netip.Addr) bool {
	return p.blocks || slices.ContainsFunc(p.all, func(one policy) bool { return one.covers(local) })
}

func readPolicies(nspath string) (found ipsecPolicies, err error) {
	conn, err := netlink.Open(nspath, unix.NETLINK_XFRM)
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return found, nil // the kernel has no IPsec
	}
	if err != nil {
		return found, fmt.Errorf("read IPsec policies: %w", err)
	}
	defer conn.Close()
	messages, err := conn.Execute(netlink.NewRequest(xfrmMsgGetPolicy, unix.NLM_F_DUMP))
	if err != nil {
		return found, fmt.Errorf("read IPsec policies: %w", err)
	}
	for _, m := range messages {
		if p, ok := parsePolicy(m); ok {
			found.all = append(found.all, p)
		}
	}
	if found.blocks, err = blocksByDefault(conn); err != nil {
		return found, fmt.Errorf("read the default of IPsec policies: %w", err)
	}
	return found, nil
}

// blocksByDefault reads a struct xfrm_userpolicy_default: in, forwarded, out.
func blocksByDefault(conn *netlink.Conn) (bool, error) {
	request := netlink.NewRequest(xfrmMsgGetDefault, 0)
	request.Raw(make([]byte, 4)...)
	answers, err := conn.Execute(request)
	if errors.Is(err, unix.EINVAL) {
		return false, nil // before Linux 5.14
	}
	if err != nil {
		return false, err
	}
	for _, a := range answers {
		if len(a) >= 3 && (a[0] == xfrmDefaultBlock || a[2] == xfrmDefaultBlock) {
			return true, nil
		}
	}
	return false, nil
}

// policy is an IPsec policy, as far as the programs must know it.
type policy struct {
	direction           uint8
	source, destination netip.Prefix
	harmless            bool // lets packets pass as they are
}

// parsePolicy reads a struct xfrm_userpolicy_info. It begins with a struct xfrm_selector: destination,
// source, ports and their masks, family, prefix lengths.
func parsePolicy(m []byte) (p policy, ok bool) {
	if len(m) < sizeofUserPolicy {
		return p, false
	}
	family := netlink.Uint16(m[40:])
	p.destination, p.source = selectorPrefix(m[:16], family, m[42]), selectorPrefix(m[16:32], family, m[43])
	p.direction = m[offsetPolicyDir]
	hasTemplates := len(netlink.Find(m[sizeofUserPolicy:], xfrmaTemplates)) > 0
	p.harmless = m[offsetPolicyBlock] == xfrmPolicyAllow && !hasTemplates
	return p, true
}

// selectorPrefix returns one end of a selector. Family 0 is any.
func selectorPrefix(addr []byte, family uint16, bits uint8) netip.Prefix {
	if family == unix.AF_INET {
		addr = addr[:4]
	}
	a, _ := netip.AddrFromSlice(addr)
	return netip.PrefixFrom(a, int(bits))
}

func (p policy) covers(local netip.Addr) bool {
	switch {
	case p.harmless:
		return false
	case p.direction == policyOut:
		return p.source.Contains(local) || !p.source.IsValid()
	case p.direction == policyIn:
		return p.destination.Contains(local) || !p.destination.IsValid()
	}
	return false
}
