package hostsetup

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"vxlan-driver/internal/clusterkey"
	"vxlan-driver/internal/config"
)

// InitOptions are what a user may choose.
type InitOptions struct {
	Addr netip.Addr    // by which the host talks to others; invalid: found
	TTL  time.Duration // of the token
}

// Init makes this host the first of a cluster, completes what is missing for that, and returns a
// token for the next one.
func Init(h Host, o InitOptions, report Report) (token string, err error) {
	m, err := readMember(h)
	if err != nil {
		return "", err
	}
	if _, exists, err := readIfExists(h, joiningPath); err != nil || exists {
		return "", errors.Join(err, errors.New("this host is about to join a cluster; finish that with `vxlanctl join`, or type `vxlanctl leave` first"))
	}
	addr, err := m.addressFor(h, o.Addr)
	if err != nil {
		return "", err
	}
	if len(m.keys) == 0 {
		key := clusterkey.New()
		if err := h.WriteFile(m.keyPath, []byte(key.Line())); err != nil {
			return "", fmt.Errorf("write key file: %w", err)
		}
		report("%s: a new key, %s", m.keyPath, key.ID())
	}
	want := config.Membership{
		KeyFile: m.keyPath, Cluster: m.settings.Cluster, Port: m.settings.Port,
		Seeds: []netip.AddrPort{netip.AddrPortFrom(addr, m.settings.Port)},
	}
	if err := m.complete(h, want, report); err != nil {
		return "", err
	}
	if err := h.KeepAgentRunning(); err != nil {
		return "", fmt.Errorf("start the agent: %w", err)
	}
	return h.CreateToken(o.TTL)
}

// addressFor returns the address by which the host talks to others.
func (m member) addressFor(h Host, wanted netip.Addr) (netip.Addr, error) {
	if wanted.IsValid() {
		has, err := h.HasAddress(wanted)
		if err == nil && !has {
			err = fmt.Errorf("no interface of this host has %v", wanted)
		}
		return wanted, err
	}
	if m.settings.Bind.IsValid() {
		return m.settings.Bind, nil
	}
	var known []netip.Addr
	for _, s := range m.settings.Seeds {
		known = append(known, s.Addr())
	}
	addr, err := h.OwnAddress(known)
	if err == nil && !addr.IsValid() {
		err = errors.New("this host has no default route, so its address for other hosts is not clear; give it with --address")
	}
	return addr, err
}
