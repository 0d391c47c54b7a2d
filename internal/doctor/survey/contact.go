package survey

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/kernel/echo"
)

const (
	// maxContacts bounds how many hosts are tried whose agents do not answer.
	maxContacts = 8
	contactWait = time.Second
	// defaultAgentPort is where agents listen unless vxland.toml says otherwise.
	defaultAgentPort = 7947
	// quietAge, and a second for each host, is longer than an agent takes to hear of a host that it
	// reaches. One that it does not reach may still reach it, and then comes and goes.
	quietAge = 6 * time.Second
)

// contacts tries to reach hosts whose agents do not answer, or are quiet.
func (c *collector) contacts() {
	if c.Agent.Report == nil {
		return
	}
	for _, cluster := range c.Agent.Report.Clusters {
		from, err := netip.ParseAddr(cluster.Name)
		if err != nil {
			continue
		}
		for _, h := range cluster.Hosts {
			limit := quietAge + time.Duration(len(cluster.Hosts))*time.Second
			isQuiet := h.Reachable && h.ReachableFor > quietAge && h.RoundTripAge > limit
			if (!h.Reachable || isQuiet) && h.Addr.IsValid() && len(c.Contacts) < maxContacts {
				c.Contacts = append(c.Contacts, doctor.Contact{From: from, To: h.Addr, IsMember: true})
			}
		}
		for _, r := range cluster.Refused {
			for _, h := range r.Hosts {
				if r.Silent && len(c.Contacts) < maxContacts {
					c.Contacts = append(c.Contacts, doctor.Contact{From: from, To: h.Addr})
				}
			}
		}
	}
	var trying sync.WaitGroup
	for i := range c.Contacts {
		trying.Go(func() { c.try(&c.Contacts[i]) })
	}
	trying.Wait()
}

func (c *collector) try(contact *doctor.Contact) {
	ctx, cancel := context.WithTimeout(c.ctx, contactWait)
	defer cancel()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: contact.From.AsSlice()}}
	conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(contact.To, c.Agent.Port).String())
	switch {
	case err == nil:
		_ = conn.Close() // nothing was sent on it
		contact.TCP = doctor.TCPOpened
	case errors.Is(err, unix.ECONNREFUSED):
		contact.TCP = doctor.TCPRefused
	default:
		contact.TCP = doctor.TCPSilent
	}
	if contact.TCP == doctor.TCPRefused && c.Agent.Port != defaultAgentPort {
		conn, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(contact.To, defaultAgentPort).String())
		if err == nil {
			_ = conn.Close()
			contact.OtherPort = defaultAgentPort
		}
	}
	if ping, err := echo.Open("", contact.From, contact.To); err == nil {
		defer ping.Close()
		_, err = ping.Echo(echo.DefaultSize, exchangeWait)
		contact.Ping = err == nil
	}
}
