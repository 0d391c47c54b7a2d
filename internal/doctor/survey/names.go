package survey

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel/netns"
)

// names asks the network's name server from a container's namespace, as the container does.
func (c *collector) names(n hoststate.Network) []doctor.NameAnswer {
	servers := n.Resolvers()
	if len(servers) == 0 {
		return nil
	}
	for _, e := range n.Endpoints {
		if e.ContainerName == "" || len(e.Addrs) == 0 {
			continue
		}
		answer := doctor.NameAnswer{Server: servers[0], Container: e.ContainerName}
		err := netns.DoIn(e.Namespace, func() error { return ask(servers[0], e.ContainerName, typeA) })
		if netns.Gone(err) {
			continue // it is ending, or not seen from here
		}
		if err != nil {
			answer.Err = err.Error()
		}
		return []doctor.NameAnswer{answer}
	}
	return nil
}

// upstreams asks the name servers outside. If one answers, that is enough.
func (c *collector) upstreams() {
	i := 0
	for i < len(c.Networks) && !c.Networks[i].HasNames() {
		i++
	}
	if i == len(c.Networks) {
		return
	}
	var silent []doctor.NameAnswer
	for _, server := range c.nameServers() {
		err := ask(server, ".", typeNS)
		if err == nil {
			return
		}
		silent = append(silent, doctor.NameAnswer{Server: server, Upstream: true, Err: err.Error()})
	}
	c.Networks[i].Names = append(c.Networks[i].Names, silent...)
}

// nameServers returns those that the host's files name.
func (c *collector) nameServers() (all []netip.Addr) {
	for _, path := range c.on.Host.ResolvConfs {
		text, _ := os.ReadFile(path) // one that is not there names none
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 2 || fields[0] != "nameserver" {
				continue
			}
			if a, err := netip.ParseAddr(fields[1]); err == nil && !a.IsLoopback() {
				all = append(all, a)
			}
		}
	}
	return all
}

// Types of questions (RFC 1035, section 3.2.2), and what a header says (section 4.1.1).
const (
	typeA, typeNS  = 1, 2
	headerLen      = 12
	flagRecursion  = 0x0100
	codeMask       = 0x000f
	codeServerFail = 2
	codeRefused    = 5
)

var askTries = []time.Duration{300 * time.Millisecond, 700 * time.Millisecond, 1500 * time.Millisecond}

// ask asks a name server a question, again if no answer comes.
func ask(server netip.Addr, name string, kind uint16) error {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(server, 53)))
	if err != nil {
		return err
	}
	defer conn.Close()
	id := uint16(rand.N(1 << 16))
	for _, wait := range askTries {
		err = exchange(conn, id, question(id, name, kind), wait)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return fmt.Errorf("no answer to a question for %s within 2.5 s", name)
}

// question encodes a question (RFC 1035, section 4.1).
func question(id uint16, name string, kind uint16) []byte {
	b := make([]byte, headerLen)
	binary.BigEndian.PutUint16(b, id)
	binary.BigEndian.PutUint16(b[2:], flagRecursion)
	binary.BigEndian.PutUint16(b[4:], 1)
	for label := range strings.SplitSeq(strings.Trim(name, "."), ".") {
		if label != "" {
			b = append(append(b, byte(len(label))), label...)
		}
	}
	b = append(b, 0)
	b = binary.BigEndian.AppendUint16(b, kind)
	return binary.BigEndian.AppendUint16(b, 1) // IN
}

// exchange sends a question, and waits for its answer.
func exchange(conn *net.UDPConn, id uint16, query []byte, wait time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	if _, err := conn.Write(query); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	for {
		n, err := conn.Read(answer)
		if err != nil {
			return err
		}
		if n < headerLen || binary.BigEndian.Uint16(answer) != id {
			continue
		}
		if code := binary.BigEndian.Uint16(answer[2:]) & codeMask; code == codeServerFail || code == codeRefused {
			return fmt.Errorf("it answers with the code %s", strconv.Itoa(int(code)))
		}
		return nil
	}
}
