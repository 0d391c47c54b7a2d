package survey

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"vxlan-driver/internal/config"
	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/regfile"
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
		err := netns.DoIn(e.Namespace, func() error { return c.askForContainer(n.Network, servers[0], e.Endpoint) })
		if netns.Gone(err) {
			continue // it is ending, or not seen from here
		}
		if err != nil {
			answer.Err = err.Error()
			_, answer.IsForeign = errors.AsType[foreignAnswerError](err)
		}
		return []doctor.NameAnswer{answer}
	}
	return nil
}

// askForContainer asks a network's name server for a container. It asks again who answers otherwise than
// the server would: a container may have just come.
func (c *collector) askForContainer(n network.Network, server netip.Addr, e network.Endpoint) (err error) {
	kind := uint16(typeA)
	if e.Addrs[0].Addr().Is6() {
		kind = typeAAAA
	}
	for _, wait := range askTries {
		answer, askErr := ask(server, e.ContainerName, kind)
		if askErr != nil {
			return askErr
		}
		if err = checkAnswer(answer, n); err == nil {
			return nil
		}
		sleep(c.ctx, wait)
	}
	return err
}

// foreignAnswerError says how an answer differs from that of a network's own name server.
type foreignAnswerError string

func (e foreignAnswerError) Error() string { return string(e) }

// checkAnswer tells whether an answer to a question for a container has an address of the network. A
// server to which a rule led the question does not know the name, or has one address for all names.
func checkAnswer(answer []byte, n network.Network) error {
	var p dnsmessage.Parser
	header, err := p.Start(answer)
	if err == nil {
		err = p.SkipAllQuestions()
	}
	switch {
	case err != nil:
		return foreignAnswerError("the answer cannot be read: " + err.Error())
	case header.RCode == dnsmessage.RCodeNameError:
		return foreignAnswerError("the answer says that there is no such name")
	case header.Truncated:
		return nil
	}
	resources, err := p.AllAnswers()
	if err != nil {
		return foreignAnswerError("the answer cannot be read: " + err.Error())
	}
	for _, r := range resources {
		var addr netip.Addr
		switch body := r.Body.(type) {
		case *dnsmessage.AResource:
			addr = netip.AddrFrom4(body.A)
		case *dnsmessage.AAAAResource:
			addr = netip.AddrFrom16(body.AAAA)
		}
		if _, isOfNetwork := n.SubnetOf(addr); addr.IsValid() && isOfNetwork {
			return nil
		}
	}
	return foreignAnswerError("the answer has no address of the network")
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
		_, err := ask(server, ".", typeNS)
		if err == nil {
			return
		}
		silent = append(silent, doctor.NameAnswer{Server: server, Upstream: true, Err: err.Error()})
	}
	c.Networks[i].Names = append(c.Networks[i].Names, silent...)
}

// nameServers returns those that the agent asks, one on the host itself among them. If /etc/resolv.conf names
// none, those count that other files of the host name.
func (c *collector) nameServers() (all []netip.Addr) {
	if settings, err := config.FilesAt(config.Path).LoadSettings(); err == nil && len(settings.Upstreams) > 0 {
		for _, s := range settings.Upstreams {
			if s.Port() == dnsPort {
				all = append(all, s.Addr())
			}
		}
		return all
	}
	for _, path := range c.on.Host.ResolvConfs[:min(1, len(c.on.Host.ResolvConfs))] {
		text, _ := regfile.ReadText(path)
		if all = serversIn(string(text)); len(all) > 0 {
			return all
		}
	}
	for _, path := range c.on.Host.ResolvConfs {
		text, _ := regfile.ReadText(path) // one that is not there names none
		all = append(all, slices.DeleteFunc(serversIn(string(text)), netip.Addr.IsLoopback)...)
	}
	return all
}

const dnsPort = 53 // RFC 1035, section 4.2

// Types of questions (RFC 1035, section 3.2.2), and what a header says (section 4.1.1).
const (
	typeA, typeNS  = 1, 2
	typeAAAA       = 28 // RFC 3596
	headerLen      = 12
	flagRecursion  = 0x0100
	codeMask       = 0x000f
	codeServerFail = 2
	codeRefused    = 5
)

var askTries = []time.Duration{300 * time.Millisecond, 700 * time.Millisecond, 1500 * time.Millisecond}

// ask asks a name server a question, again if no answer comes.
func ask(server netip.Addr, name string, kind uint16) (answer []byte, err error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(server, dnsPort)))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	id := uint16(rand.N(1 << 16))
	for _, wait := range askTries {
		answer, err = exchange(conn, id, question(id, name, kind), wait)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return answer, err
		}
	}
	return nil, fmt.Errorf("no answer to a question for %s within 2.5 s", name)
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
func exchange(conn *net.UDPConn, id uint16, query []byte, wait time.Duration) ([]byte, error) {
	if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	answer := make([]byte, 4096)
	for {
		n, err := conn.Read(answer)
		if err != nil {
			return nil, err
		}
		if n < headerLen || binary.BigEndian.Uint16(answer) != id {
			continue
		}
		if code := binary.BigEndian.Uint16(answer[2:]) & codeMask; code == codeServerFail || code == codeRefused {
			return nil, fmt.Errorf("it answers with the code %s", strconv.Itoa(int(code)))
		}
		return answer[:n], nil
	}
}
