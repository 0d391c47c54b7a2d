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
	// Addr is that by which the host talks to others. If it is invalid, it is the one of Interface. If
	// that is empty too, it is found.
	Addr      netip.Addr
	Interface string
	TTL       time.Duration // of the token
}

// Init makes this host the first of a cluster, completes what is missing for that, and returns a
// token for the next one.
func Init(h Host, o InitOptions, report Report) (token string, err error) {
	m, err := readMember(h)
	if err != nil {
		return "", err
	}
	if _, exists, err := readIfExists(h, joiningPath); err != nil || exists {
		return "", errors.Join(err,
			errors.New("this host is about to join a cluster; finish that with `vxlanctl join`, or type `vxlanctl leave` first"))
	}
	addr, err := m.addressFor(h, o)
	if err != nil {
		return "", err
	}
	report("other hosts are to reach this one at %v", addr)
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
