package bpfpath

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netlink"
)

// Of linux/xfrm.h, which package unix lacks.
const (
	xfrmMsgGetPolicy  = 0x15
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

// isEncrypted tells whether IPsec is about packets from or to an address of the host: those that leave
// must be encrypted, or those that arrive must have been. A packet that a program passes on is not
// looked at by it.
func isEncrypted(nspath string, local netip.Addr) (bool, error) {
	policies, err := readPolicies(nspath)
	if err != nil {
		return false, fmt.Errorf("read IPsec policies: %w", err)
	}
	for _, p := range policies {
		if p.covers(local) {
			return true, nil
		}
	}
	return false, nil
}

func readPolicies(nspath string) (policies []policy, err error) {
	conn, err := netlink.Open(nspath, unix.NETLINK_XFRM)
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil, nil // the kernel has no IPsec
	}
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	request := netlink.NewRequest(xfrmMsgGetPolicy, unix.NLM_F_DUMP)
	messages, err := conn.Execute(request)
	for _, m := range messages {
		if p, ok := parsePolicy(m); ok {
			policies = append(policies, p)
		}
	}
	return policies, err
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
